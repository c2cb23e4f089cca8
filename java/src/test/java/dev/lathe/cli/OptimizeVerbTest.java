package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** optimize and report as a user types them, on little data. */
class OptimizeVerbTest {
  private static final String RECIPE =
      """
      name: short
      max_loss: 2%
      steps:
        - {technique: quantize, scheme: w8a16}
        - {technique: prune, pattern: unstructured, sparsity: 0.5}
      generation: {tokens: 16, repetitions: 1, batch: 2}
      """;

  @TempDir private Path folder;
  private Path recipe;
  private Path run;

  @BeforeEach
  void write() throws IOException {
    SharedModel.assume();
    recipe = Files.writeString(folder.resolve("recipe.yaml"), RECIPE);
    run = folder.resolve("run");
  }

  private Run optimize(String... more) {
    List<String> line =
        new ArrayList<>(
            List.of(
                "optimize",
                "--recipe",
                recipe.toString(),
                "--text",
                SharedModel.TEXT.toString(),
                "--separator",
                SharedModel.SEPARATOR,
                "--max-documents",
                "3",
                "--out",
                run.toString()));
    line.addAll(List.of(more));
    return Run.lathe(line.toArray(String[]::new));
  }

  private static JsonNode stage(ObjectNode json, String prefix) {
    return json.get("stages")
        .valueStream()
        .filter(stage -> stage.get("name").stringValue().startsWith(prefix))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void int8IsAcceptedAndHalfOfTheWeightsAreNot() throws IOException {
    ObjectNode json =
        optimize(SharedModel.MODEL.toString(), "--json", "--price-per-hour", "3.6").json();
    JsonNode quantized = stage(json, "quantize");
    assertThat(quantized.get("accepted").booleanValue()).isTrue();
    // Against the 1,040,128 bytes of the weights as F32.
    assertThat(quantized.get("bytes").longValue()).isLessThan((long) (0.27 * 1_040_128));
    assertThat(quantized.get("quality").get("loss_percent").doubleValue()).isBetween(-1.0, 1.0);
    JsonNode pruned = stage(json, "prune");
    assertThat(pruned.get("accepted").booleanValue()).isFalse();
    assertThat(pruned.get("reason").stringValue()).contains("%");
    assertThat(pruned.get("quality").get("loss_percent").doubleValue()).isGreaterThan(100);
    for (JsonNode stage : json.get("stages")) {
      assertThat(List.copyOf(stage.propertyNames()))
          .contains("name", "accepted", "reason", "bytes", "compression");
    }
    assertThat(stage(json, "batch").get("tokens_per_second").doubleValue()).isPositive();
    assertThat(stage(json, "kv-cache").get("speedup").doubleValue()).isPositive();

    pricesFollowFromTheSpeed(json.get("cost").get("before"));

    assertThat(Path.of(json.get("report").stringValue())).isNotEmptyFile();
    ObjectNode made =
        Run.lathe(
                "generate",
                "--model",
                json.get("model").stringValue(),
                "--max-tokens",
                "4",
                "--json")
            .json();
    assertThat(made.get("tokens").size()).isEqualTo(4);

    reportIsWrittenAgain();
    optimize(SharedModel.MODEL.toString()).refused(2).says(run.toString(), "finished run");
  }

  /** At 3.6 an hour, a second costs 0.001. */
  private static void pricesFollowFromTheSpeed(JsonNode price) {
    double tokensPerSecond = price.get("tokens_per_second").doubleValue();
    assertThat(price.get("per_million_tokens").doubleValue())
        .isCloseTo(0.001 / tokensPerSecond * 1e6, withinPercentage(1e-9));
    assertThat(price.get("tokens_per_unit").doubleValue())
        .isCloseTo(tokensPerSecond / 0.001, withinPercentage(1e-9));
    assertThat(price.get("annual_for_baseline_work").doubleValue())
        .isCloseTo(3.6 * 8760, withinPercentage(1e-9));
  }

  private void reportIsWrittenAgain() throws IOException {
    Path html = run.resolve("report.html");
    String before = Files.readString(html);
    Files.delete(html);
    ObjectNode again = Run.lathe("report", run.toString(), "--json").json();
    assertThat(again.get("html").stringValue()).isEqualTo(html.toString());
    assertThat(Files.readString(html)).isEqualTo(before);
  }

  @Test
  void aTargetThatIsMissedEndsWithFour() {
    Run missed =
        optimize("--model", SharedModel.MODEL.toString(), "--target", "min_compression=1000");
    assertThat(missed.code()).as(missed.err()).isEqualTo(4);
    assertThat(missed.out()).contains("NOT MET");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "max_loss: 2% | max_los: 2% | 2:1: unknown key 'max_los'",
        "name: short | name: short; name: long | 2:1",
        "technique: prune | technique: polish | polish",
        "max_loss: 2% | max_loss: 2 | 2:11: 'max_loss'",
        "sparsity: 0.5 | sparsity: 1.5 | 'sparsity' is 1.5",
      })
  void aRecipeThatIsWrong(String from, String to, String named) throws IOException {
    SharedModel.replace(recipe, from, to.replace("; ", "\n"));
    optimize("--model", SharedModel.MODEL.toString()).refused(2).says("recipe.yaml:", named);
    assertThat(run).doesNotExist();
  }

  @Test
  void optionsThatAreWrong() {
    String model = SharedModel.MODEL.toString();
    optimize(model, "--model", model).refused(2).says("given twice");
    optimize(model, "--max-loss", "2").refused(2).says("--max-loss 2", "percentage");
    optimize(model, "--target", "speed=2").refused(2).says("speed", "min_speedup");
    optimize(model, "--price-per-hour", "-1").refused(2).says("--price-per-hour");
    optimize(model, "--resume").refused(2).says("no run to resume");
    assertThat(run).doesNotExist();
  }

  @Test
  void aFolderThatIsNoRun() throws IOException {
    Files.createDirectory(run);
    Files.writeString(run.resolve("mine.txt"), "mine");
    optimize("--model", SharedModel.MODEL.toString()).refused(2).says(run.toString());
    assertThat(run.resolve("mine.txt")).hasContent("mine");
    Run.lathe("report", run.toString()).refused(2).says("is not a run");
  }
}
