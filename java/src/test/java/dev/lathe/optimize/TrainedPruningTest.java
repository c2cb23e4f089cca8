package dev.lathe.optimize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.compress.MagnitudePrune;
import dev.lathe.compress.Scope;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunJson;
import dev.lathe.report.OptimizeResults;
import dev.lathe.report.Stage;
import dev.lathe.tensor.Weight;
import dev.lathe.train.TinyTrained;
import dev.lathe.train.corpus.Corpus;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Pruning with training, from the recipe to the report, on a model that was trained a second. */
class TrainedPruningTest {
  private static final String RECIPE =
      """
      name: test
      max_loss: 100%
      steps:
        - {technique: quantize, scheme: w8a16}
        - technique: prune
          sparsity: 0.6
          schedule: gradual
          finetune: {steps: 40, every: 4, batch: 8, length: 64, learning_rate: 0.005, control: true}
      generation: {tokens: 4, repetitions: 1, batch: 1, kv_cache: false}
      """;

  @TempDir static Path shared;
  private static Path model;

  @TempDir Path folder;

  @BeforeAll
  static void train() throws IOException {
    model = TinyTrained.write(shared);
  }

  @Test
  void gradualPruningLosesLessThanPruningAtOnceAndStaysInt8() throws IOException {
    Stage atOnce = last(run("once", RECIPE, Optional.empty()));
    OptimizeResults results = run("trained", RECIPE, Optional.of(text("training.txt")));
    Stage trained = last(results);

    assertThat(atOnce.name()).isEqualTo("prune-60");
    assertThat(atOnce.what()).isEqualTo("prune 60 %");
    assertThat(atOnce.reason())
        .endsWith("one-shot, fine-tuning was left out: no training text is known (--train-text)");
    assertThat(atOnce.training()).isEmpty();

    assertThat(trained.name()).isEqualTo("prune-60-gradual-fine-tuned");
    assertThat(trained.what()).isEqualTo("prune 60 % gradual, fine-tuned");
    double lossAtOnce = atOnce.quality().orElseThrow().lossPercent();
    assertThat(lossAtOnce).isGreaterThan(5);
    assertThat(trained.quality().orElseThrow().lossPercent()).isLessThan(lossAtOnce / 2);
    assertThat(trained.accepted()).isTrue();
    // INT8 and pruned: the same bytes whether trained or not, but for what of the lineage is in it.
    assertThat(trained.bytes()).isEqualTo(atOnce.bytes());
    Stage.Training training = trained.training().orElseThrow();
    assertThat(training.steps()).isEqualTo(40);
    assertThat(training.tokens()).isEqualTo(40L * 8 * 64);
    assertThat(training.seconds()).isPositive();
    assertThat(training.lossBefore()).isPositive();
    assertThat(training.lossAfter()).isPositive();
    assertThat(training.controlLossPercent().getAsDouble())
        .isLessThan(trained.quality().orElseThrow().lossPercent());

    Path run = folder.resolve("trained");
    try (Checkpoint written = Checkpoints.open(run.resolve("model"))) {
      for (Stage.Layer layer : trained.layers()) {
        Weight weight = written.weight(layer.name());
        assertThat(weight.format()).isEqualTo(layer.format());
        if (layer.name().contains("embed")) {
          assertThat(weight).isInstanceOf(Weight.Int8.class);
        } else {
          Weight.Bitmap bitmap = (Weight.Bitmap) weight;
          long count = bitmap.rows() * bitmap.cols();
          assertThat(bitmap.scales()).isPresent();
          assertThat(bitmap.values().size(0)).isEqualTo(Math.round(0.4 * count));
          assertThat(layer.relativeError()).isBetween(0.1, 1.0);
        }
      }
      assertThat(written.lineage().steps())
          .extracting(step -> step.technique().replaceFirst(" .*", ""))
          .containsExactly("quantize", "prune", "prune", "quantize");
    }
    assertThat(run.resolve("steps")).doesNotExist();
    Path json = run.resolve("results.json");
    assertThat(RunJson.read(Files.readString(json), OptimizeResults.class, "results.json"))
        .isEqualTo(results);
    assertThat(Files.readString(json)).contains("\"loss_before\"", "\"control_loss_percent\"");
    assertThat(Files.readString(run.resolve("report.md"))).contains("Fine-tuning");
    assertThat(results.recipe().steps().getLast())
        .contains("schedule=gradual ramp=24 every=4, fine-tuned steps=40 batch=8 length=64");
  }

  @Test
  void aRunThatDiesWhileItTrainsStartsTheStageAgain() throws IOException {
    String recipe = RECIPE.replace(", control: true", "").replace("steps: 40", "steps: 6");
    OptimizeRequest request = request("dies", recipe, Optional.of(text("training.txt")));
    List<String> begun = new ArrayList<>();
    int[] heard = {0};
    ProgressSink sink =
        new Recording(begun) {
          @Override
          public void progress(long done, long total) {
            if (begun.getLast().endsWith(": train") && ++heard[0] == 3) {
              throw new IllegalStateException("killed");
            }
          }
        };
    assertThatThrownBy(() -> new Optimizer(request, sink, new SpeedTrial.Effort(0, 0)).run())
        .hasMessage("killed");
    begun.clear();
    OptimizeOutcome outcome = new Optimizer(request, sink, new SpeedTrial.Effort(0, 0)).run();
    assertThat(begun)
        .doesNotContain("int8: apply")
        .contains("prune 60 % gradual, fine-tuned: train");
    assertThat(last(outcome.results()).training().orElseThrow().steps()).isEqualTo(6);
    assertThat(outcome.results().conditions().resumed()).isEqualTo(1);
  }

  @Test
  void textThatQualityIsJudgedOnIsNotTrainedOn() throws IOException {
    Path judged = text("held-out.txt");
    refused(Optional.of(judged), "is the text that quality is judged on");
    // The same documents among others, or in another order, are found too.
    Path mixed =
        Files.writeString(
            folder.resolve("mixed.txt"),
            Files.readString(judged) + Files.readString(text("training.txt")));
    refused(Optional.of(mixed), "texts that quality is judged on stand in it too");
    refused(Optional.of(folder.resolve("none.txt")), "none.txt is not a file");
    Path blank = Files.writeString(folder.resolve("blank.txt"), " \n");
    refused(Optional.of(blank), "holds no text to train on");
    assertThat(folder.resolve("refused")).doesNotExist();
  }

  private void refused(Optional<Path> trainText, String why) throws IOException {
    OptimizeRequest request = request("refused", RECIPE, trainText);
    assertThatThrownBy(() -> new Optimizer(request, ProgressSink.SILENT).run())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining(why);
  }

  @Test
  void oneTextThatHoldsTheOtherIsFound() {
    TrainingText whole = new TrainingText(List.of("a b c d e"), true, "hash");
    assertThatThrownBy(() -> whole.requireApart(List.of("b c d\n"), "x.txt"))
        .hasMessageStartingWith("x.txt: 1 of the 1 texts");
    whole.requireApart(List.of("b d"), "x.txt");
  }

  @Test
  void readsItsKeysAndHasDefaults() {
    TrainedPruning read =
        parse("{'technique':'prune','sparsity':0.5,'schedule':'gradual'}").orElseThrow();
    assertThat(read).isEqualTo(TrainedPruning.of(new MagnitudePrune(0.5, Scope.LAYER), true, 250));
    assertThat(read.rampSteps()).isEqualTo(150);
    assertThat(read.plan(64, 3).length()).isEqualTo(64);
    assertThat(read.plan(4096, 3).length()).isEqualTo(256);
    TrainedPruning after =
        parse("{'technique':'prune','sparsity':0.5,'finetune':{'steps':20,'batch':4,'length':32}}")
            .orElseThrow();
    assertThat(after.rampSteps()).isZero();
    assertThat(after.name()).isEqualTo("prune 50 %, fine-tuned");
    assertThat(after.plan(4096, 3).length()).isEqualTo(32);
    assertThat(parse("{'technique':'prune','sparsity':0.5,'schedule':'one-shot'}")).isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{'technique':'prune','sparsity':0.5,'schedule':'cubic'} | allowed: one-shot, gradual",
        "{'technique':'prune','sparsity':0.5,'finetune':7} | it must be keys with values",
        "{'technique':'prune','sparsity':0.5,'schedul':'gradual','finetune':{}} | unknown key"
            + " 'schedul' in 'prune'; allowed: technique, pattern, method, sparsity, scope,"
            + " embedding, schedule, finetune",
        "{'technique':'prune','sparsity':0.5,'finetune':{'step':3}} | unknown key 'step' in"
            + " 'finetune'",
        "{'technique':'prune','sparsity':0.5,'finetune':{'steps':0}} | 'steps' is 0; it must be a"
            + " whole number from 1",
        "{'technique':'prune','sparsity':0.5,'finetune':{'ramp':3}} | 'ramp' and 'every' are of",
        "{'technique':'prune','sparsity':0.5,'finetune':{'learning_rate':0}} | learning rate 0.0:"
            + " it must be above 0",
        "{'technique':'prune','sparsity':0.5,'finetune':{'learning_rate':0.1,"
            + "'last_learning_rate':0.2}} | last learning rate 0.2",
        "{'technique':'prune','sparsity':2,'finetune':{}} | 'sparsity' is 2",
        "{'technique':'quantize','scheme':'w8a16','finetune':{}} | keys of 'prune', not of"
            + " 'quantize'",
      })
  void refusesTheRest(String step, String message) {
    assertThatThrownBy(() -> parse(step))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageStartingWith("recipe.yaml:3")
        .hasMessageContaining(message);
  }

  private static Optional<TrainedPruning> parse(String step) {
    return TrainedPruning.parse(
        "recipe.yaml:3",
        (ObjectNode) JsonMapper.builder().build().readTree(step.replace('\'', '"')));
  }

  private OptimizeResults run(String name, String recipe, Optional<Path> trainText)
      throws IOException {
    return new Optimizer(
            request(name, recipe, trainText), ProgressSink.SILENT, new SpeedTrial.Effort(0, 0))
        .run()
        .results();
  }

  private static Stage last(OptimizeResults results) {
    return results.stages().getLast();
  }

  private static Path text(String name) {
    return shared.resolve(name);
  }

  private OptimizeRequest request(String name, String recipe, Optional<Path> trainText)
      throws IOException {
    Path file = Files.writeString(folder.resolve("recipe.yaml"), recipe);
    return new OptimizeRequest(
        model,
        file.toString(),
        OptionalDouble.empty(),
        Optional.of(text("held-out.txt")),
        Optional.of(Corpus.SEPARATOR),
        OptionalInt.empty(),
        "cpu",
        0,
        "auto",
        7,
        folder.resolve(name),
        false,
        OptionalDouble.empty(),
        Map.of(),
        trainText);
  }

  private static class Recording implements ProgressSink {
    private final List<String> begun;

    Recording(List<String> begun) {
      this.begun = begun;
    }

    @Override
    public void begin(String what) {
      begun.add(what);
    }

    @Override
    public void progress(long done, long total) {}

    @Override
    public void decided(Stage stage, boolean reused) {}

    @Override
    public void note(String message) {}
  }
}
