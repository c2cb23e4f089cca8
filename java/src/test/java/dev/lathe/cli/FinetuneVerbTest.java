package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.tensor.DType;
import dev.lathe.train.TinyTrained;
import dev.lathe.train.corpus.Corpus;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

/** finetune, and prune with training, as a user types them. */
class FinetuneVerbTest {
  @TempDir private static Path shared;
  private static String model;
  private static String text;

  @TempDir private Path folder;

  @BeforeAll
  static void train() throws IOException {
    model = TinyTrained.write(shared).toString();
    text = shared.resolve("training.txt").toString();
  }

  private static Run lathe(String verb, String... more) {
    return Run.lathe(
        Stream.concat(
                Stream.of(verb, "--model", model, "--steps", "20", "--batch", "8", "--json"),
                Stream.of(more))
            .toArray(String[]::new));
  }

  @Test
  void gradualPruningThenMoreTrainingKeepsTheZeros() throws IOException {
    String pruned = folder.resolve("pruned").toString();
    ObjectNode first =
        lathe(
                "prune",
                "--sparsity",
                "0.5",
                "--schedule",
                "gradual",
                "--train-text",
                text,
                "--separator",
                Corpus.SEPARATOR,
                "--out",
                pruned)
            .json();
    assertThat(first.get("steps").intValue()).isEqualTo(20);
    assertThat(first.get("loss_after").doubleValue()).isPositive();
    assertThat(first.get("bytes").longValue())
        .isEqualTo(Files.size(Path.of(pruned, "model.safetensors")));
    assertThat(first.get("layers").valueStream())
        .filteredOn(layer -> !layer.get("name").stringValue().contains("embed"))
        .isNotEmpty()
        .allSatisfy(layer -> assertThat(layer.get("sparsity").doubleValue()).isEqualTo(0.5));

    Path tuned = folder.resolve("tuned");
    ObjectNode second =
        Run.lathe(
                "finetune",
                "--model",
                pruned,
                "--train-text",
                text,
                "--separator",
                Corpus.SEPARATOR,
                "--steps",
                "5",
                "--out",
                tuned.toString(),
                "--json")
            .json();
    assertThat(List.copyOf(second.propertyNames()))
        .containsExactly("out", "bytes", "steps", "tokens", "seconds", "loss_before", "loss_after");
    assertThat(second.get("tokens").longValue()).isEqualTo(5L * 32 * 64);
    ObjectNode again =
        Run.lathe(
                "prune",
                "--model",
                tuned.toString(),
                "--sparsity",
                "0.5",
                "--out",
                folder.resolve("again").toString(),
                "--json")
            .json();
    // Nothing but zeros goes.
    assertThat(again.get("layers").valueStream())
        .allSatisfy(layer -> assertThat(layer.get("error").doubleValue()).isZero());
  }

  /** Weights are trained as floats and are INT8 again; what the model asks of its cache stays. */
  @Test
  void aModelThatAsksForInt8KeysAndValuesStillDoesWhenItWasTrained() {
    String kv8 = folder.resolve("kv8").toString();
    String int8 = folder.resolve("int8").toString();
    Run.lathe("quantize", "--model", model, "--scheme", "kv8", "--out", kv8, "--json").json();
    Run.lathe("quantize", "--model", kv8, "--out", int8, "--json").json();
    String[] training = {
      "--train-text",
      text,
      "--separator",
      Corpus.SEPARATOR,
      "--steps",
      "2",
      "--batch",
      "2",
      "--json"
    };
    String pruned = folder.resolve("pruned").toString();
    String tuned = folder.resolve("tuned").toString();
    ObjectNode prune =
        Run.lathe(
                with(
                    training,
                    "prune",
                    "--model",
                    int8,
                    "--sparsity",
                    "0.6",
                    "--schedule",
                    "gradual",
                    "--out",
                    pruned))
            .json();
    assertThat(prune.get("kv_cache_type").stringValue()).isEqualTo("int8");
    Run.lathe(with(training, "finetune", "--model", pruned, "--out", tuned)).json();
    for (String made : List.of(kv8, int8, pruned, tuned)) {
      try (Checkpoint checkpoint = Checkpoints.open(Path.of(made))) {
        assertThat(checkpoint.cacheType()).as(made).contains(DType.I8);
      }
    }
  }

  private static String[] with(String[] training, String... line) {
    return Stream.concat(Stream.of(line), Stream.of(training)).toArray(String[]::new);
  }

  @Test
  void whatIsWrongIsSaidAndNothingIsLeft() {
    String out = folder.resolve("out").toString();
    lathe("finetune", "--out", out).refused(2).says("--train-text FILE");
    lathe("finetune", "--train-text", "none.txt", "--out", out).refused(2).says("none.txt");
    lathe("finetune", "--train-text", text, "--length", "65", "--out", out)
        .refused(2)
        .says("65 tokens are longer than the model's context of 64");
    lathe("finetune", "--train-text", text, "--learning-rate", "0", "--out", out)
        .refused(2)
        .says("learning rate 0.0");
    lathe("prune", "--sparsity", "0.5", "--out", out).refused(2).says("--steps: belongs to");
    lathe("prune", "--sparsity", "0.5", "--schedule", "cubic", "--out", out)
        .refused(2)
        .says("one-shot, gradual");
    assertThat(folder).isEmptyDirectory();
  }
}
