package dev.lathe.optimize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.SharedFiles;
import dev.lathe.backend.Backends;
import dev.lathe.backend.Caches;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.RunJson;
import dev.lathe.measure.TraceCheck;
import dev.lathe.report.OptimizeResults;
import dev.lathe.report.Reports;
import dev.lathe.report.Stage;
import dev.lathe.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The main job on a real trained model, with few tokens so that it is quick. */
class OptimizerTest {
  private static final String RECIPE =
      """
      name: test
      max_loss: 1%
      steps:
        - {technique: quantize, scheme: w8a16, symmetric: true}
        - {technique: prune, sparsity: 0.5}
      generation: {tokens: 24, repetitions: 1, batch: 3}
      cost: {price_per_hour: 2}
      """;

  private static final String KV8 =
      RECIPE.replace(
          "{technique: prune, sparsity: 0.5}",
          "{technique: quantize, scheme: kv8}\n  - {technique: quantize, scheme: kv8}");

  @TempDir Path folder;
  private Path model;
  private Path text;
  private Path out;

  @BeforeEach
  void sharedFiles() {
    model = SharedFiles.require("models/stories260k");
    text = SharedFiles.require("datasets/tinystories.txt");
    out = folder.resolve("run");
  }

  @Test
  void int8IsAcceptedAndHalfThePruningIsReverted() throws IOException {
    List<String> parts = new ArrayList<>();
    OptimizeOutcome outcome = optimizer(request(RECIPE), begun(parts)).run();
    OptimizeResults results = outcome.results();

    assertThat(results.stages())
        .extracting(Stage::name)
        .containsExactly("baseline", "quantize-int8", "prune-50", "kv-cache", "batch-3");
    Stage baseline = results.stages().get(0);
    Stage int8 = results.stages().get(1);
    Stage pruned = results.stages().get(2);

    // Bytes are those of the files, and the accepted file is the one that is there.
    assertThat(baseline.bytes()).isEqualTo(Files.size(model.resolve("model.safetensors")));
    assertThat(int8.bytes()).isEqualTo(Files.size(out.resolve("model/model.safetensors")));
    assertThat(int8.accepted()).isTrue();
    assertThat((double) int8.bytes() / baseline.bytes()).isLessThan(0.27);
    assertThat(int8.compression()).isEqualTo(4.0 * 260_032 / int8.bytes());
    assertThat(int8.quality().orElseThrow().lossPercent()).isLessThan(1);
    assertThat(int8.quality().orElseThrow().klMean().getAsDouble()).isPositive();
    assertThat(int8.layers()).isNotEmpty();

    // It costs this model a factor of about ten: accepting it would mean that the gate is broken.
    assertThat(pruned.accepted()).isFalse();
    assertThat(pruned.quality().orElseThrow().lossPercent()).isBetween(300.0, 3000.0);
    assertThat(pruned.bytes()).isLessThan(int8.bytes());
    assertThat(pruned.reason()).contains("where +1.00 % is allowed");
    assertThat(pruned.tokensPerSecond()).isEmpty();
    assertThat(out.resolve("steps")).doesNotExist();

    // Later stages stand on the accepted model.
    Stage cached = results.stages().get(3);
    assertThat(cached.bytes()).isEqualTo(int8.bytes());
    assertThat(cached.quality()).isEqualTo(int8.quality());
    assertThat(cached.speedup().getAsDouble()).isGreaterThan(1);
    assertThat(results.stages().get(4).sequences()).isEqualTo(3);

    assertThat(results.checks())
        .extracting(OptimizeResults.Check::name)
        .contains(
            "the same tokens with and without the KV-cache",
            "the model as written is the one that was measured",
            "edge cases");
    // Whether a batch is faster is the machine's; that its tokens are the same is not.
    Stage batch = results.stages().get(4);
    assertThat(batch.accepted()).isEqualTo(batch.ownSpeedup().getAsDouble() > 1);
    assertThat(batch.reason()).contains("the same tokens in a batch as alone: all of ");
    if (batch.accepted()) {
      assertThat(results.checks())
          .extracting(OptimizeResults.Check::name)
          .contains("the same tokens in a batch as alone");
    }
    assertThat(results.checks())
        .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
    assertThat(results.profileBefore().orElseThrow().ops()).isNotEmpty();
    assertThat(results.cost().orElseThrow().after()).isPresent();
    assertThat(outcome.targetMet()).isTrue();
    assertThat(parts).contains("int8: evaluate", "final: evaluate the model as written");

    // What was returned is what was written.
    Path json = out.resolve("results.json");
    assertThat(RunJson.read(Files.readString(json), OptimizeResults.class, "results.json"))
        .isEqualTo(results);
    assertThat(Files.readString(out.resolve("report.html"))).contains("prune 50 %");
    assertThat(Files.readString(out.resolve("report.md"))).contains("prune 50 %");
    assertThat(RunFolder.readSamples(out))
        .filteredOn(line -> line.get("kind").stringValue().equals("generation"))
        .isNotEmpty()
        .allSatisfy(line -> assertThat(line.get("token_nanos").size()).isEqualTo(24));
    try (Checkpoint accepted = Checkpoints.open(out.resolve("model"))) {
      assertThat(accepted.lineage().steps()).hasSize(1);
    }
    TraceCheck trace = new TraceCheck(Files.readAllBytes(out.resolve("trace.json")));
    assertThat(trace.track("", "operations").getFirst().get("dur").doubleValue()).isPositive();

    // The reports can be made again, and are the same.
    String html = Files.readString(out.resolve("report.html"));
    Files.delete(out.resolve("report.html"));
    assertThat(Files.readString(Reports.rewrite(out))).isEqualTo(html);
  }

  /** Activations as INT8 where the weights are, and a second time, when nothing is left to do. */
  @Test
  void w8a8IsTriedWhereItCanBe() throws IOException {
    String recipe =
        RECIPE
            .replace("{technique: prune, sparsity: 0.5}", "{technique: quantize, scheme: w8a8}")
            .replace("max_loss: 1%", "max_loss: 5%");
    OptimizeResults results =
        optimizer(
                request(
                    recipe
                        .replace(
                            "generation:", "  - {technique: quantize, scheme: w8a8}\ngeneration:")
                        .replace("symmetric: true", "symmetric: false")),
                ProgressSink.SILENT)
            .run()
            .results();
    assertThat(results.stages())
        .extracting(Stage::name)
        .containsExactly(
            "baseline",
            "quantize-int8-asymmetric",
            "quantize-w8a8",
            "quantize-w8a8-2",
            "kv-cache",
            "batch-3");
    Stage int8 = results.stages().get(1);
    for (Stage stage : results.stages().subList(2, 4)) {
      assertThat(stage.accepted()).isFalse();
      assertThat(stage.reason()).startsWith("not tried: no linear layer is plain or INT8");
      assertThat(stage.bytes()).isEqualTo(int8.bytes());
      assertThat(stage.tokensPerSecond()).isEmpty();
    }

    out = folder.resolve("symmetric");
    Stage w8a8 = optimizer(request(recipe), ProgressSink.SILENT).run().results().stages().get(2);
    assertThat(w8a8.name()).isEqualTo("quantize-w8a8");
    assertThat(w8a8.quality().orElseThrow().lossPercent()).isBetween(-0.5, 2.0);
    assertThat(w8a8.layers()).extracting(Stage.Layer::format).contains("w8a8", "int8");
    assertThat(w8a8.tokensPerSecond()).isPresent();
  }

  /** Keys and values as INT8: the cache gets smaller, the file does not. */
  @ParameterizedTest
  @CsvSource({"nd4j, 4, 2.67", "native, 2, 1.33"})
  void kv8IsAcceptedForItsCacheAndJudgedThroughIt(String kernels, int bytesBefore, String smaller)
      throws IOException {
    Assumptions.assumeTrue(
        kernels.equals("nd4j") || CpuBackend.whyUnusable().isEmpty(),
        () -> CpuBackend.whyUnusable().orElseThrow());
    OptimizeOutcome outcome = optimizer(on(request(KV8), kernels), ProgressSink.SILENT).run();
    OptimizeResults results = outcome.results();
    assertThat(results.stages())
        .extracting(Stage::name)
        .containsExactly(
            "baseline", "quantize-int8", "quantize-kv8", "quantize-kv8-2", "kv-cache", "batch-3");
    Stage int8 = results.stages().get(1);
    Stage kv8 = results.stages().get(2);
    // 5 layers of 4 heads of 8, as F32, as F32 or BF16 beside INT8 weights, as codes with a scale.
    assertThat(results.source().kvBytesPerToken()).isEqualTo(2 * 5 * 4 * 8 * 4);
    assertThat(int8.kvBytesPerToken()).hasValue(2L * 5 * 4 * 8 * bytesBefore);
    assertThat(kv8.kvBytesPerToken()).hasValue(2 * 5 * 4 * (8 + 4));
    assertThat(int8.reason().contains("KV-cache 2.00× smaller")).isEqualTo(bytesBefore == 2);
    assertThat(kv8.bytes()).isEqualTo(int8.bytes());
    assertThat(kv8.accepted()).isTrue();
    assertThat(kv8.reason())
        .contains("as large as the model before it, KV-cache " + smaller + "× smaller");
    assertThat(kv8.layers()).isEmpty();
    // The same weights: whatever is lost is lost in the cache.
    assertThat(kv8.quality().orElseThrow().perplexity())
        .isNotEqualTo(int8.quality().orElseThrow().perplexity());
    assertThat(kv8.quality().orElseThrow().lossPercent()).isBetween(-1.0, 1.0);

    Stage again = results.stages().get(3);
    assertThat(again.accepted()).isFalse();
    assertThat(again.reason())
        .isEqualTo("not tried: the model asks for keys and values as int8 already");
    assertThat(results.stages().subList(3, 6))
        .allSatisfy(stage -> assertThat(stage.kvBytesPerToken()).isEqualTo(kv8.kvBytesPerToken()));
    // Cached, naive, alone and in a batch: all of it through INT8 keys and values.
    assertThat(results.checks())
        .extracting(OptimizeResults.Check::name)
        .contains(
            "the same tokens with and without the KV-cache",
            "the model as written is the one that was measured",
            "edge cases");
    assertThat(results.checks())
        .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
    try (Checkpoint accepted = Checkpoints.open(out.resolve("model"))) {
      assertThat(accepted.cacheType()).contains(DType.I8);
      assertThat(accepted.lineage().steps()).hasSize(2);
    }
    assertThat(Files.readString(out.resolve("results.json"))).contains("\"kv_bytes_per_token\"");
    assertThat(Files.readString(out.resolve("report.md")))
        .contains("with a KV-cache 2.67 times smaller", "KV bytes a token");
  }

  @Test
  void kv8IsNotTriedWhereTheBackendHasNone() throws IOException {
    OptimizeRequest request = on(request(KV8), "nd4j");
    try (OpenedBackend opened = Backends.open("cpu", 0, "nd4j")) {
      OpenedBackend floats =
          new OpenedBackend(Caches.only(opened.backend(), DType.F32), opened.reason());
      OptimizeResults results = optimizer(request, ProgressSink.SILENT).run(floats).results();
      Stage int8 = results.stages().get(1);
      for (Stage stage : results.stages().subList(2, 4)) {
        assertThat(stage.accepted()).isFalse();
        assertThat(stage.reason())
            .isEqualTo("not tried: the cpu backend keeps keys and values as f32, not as int8");
        assertThat(stage.kvBytesPerToken()).isEqualTo(int8.kvBytesPerToken());
      }
    }
    try (Checkpoint accepted = Checkpoints.open(out.resolve("model"))) {
      assertThat(accepted.cacheType()).isEmpty();
    }
  }

  /** Dies at every place where it can be heard to, and is started again each time. */
  @Test
  void aRunThatDiesAnywhereGoesOnWhereItWas() throws IOException {
    Set<String> died = new HashSet<>();
    List<String> decidedTwice = new ArrayList<>();
    Set<String> decided = new HashSet<>();
    OptimizeOutcome outcome = null;
    while (outcome == null) {
      ProgressSink sink =
          new ProgressSink() {
            @Override
            public void begin(String what) {
              dieOnce("before " + what);
            }

            @Override
            public void progress(long done, long total) {}

            @Override
            public void decided(Stage stage, boolean reused) {
              if (!reused) {
                if (!decided.add(stage.name())) {
                  decidedTwice.add(stage.name());
                }
                dieOnce("after " + stage.name());
              }
            }

            @Override
            public void note(String message) {}

            private void dieOnce(String where) {
              if (died.add(where)) {
                throw new Killed();
              }
            }
          };
      try {
        outcome = optimizer(request(RECIPE), sink).run();
      } catch (Killed e) {
        assertThat(out.resolve("results.json")).doesNotExist();
        assertThat(out.resolve("report.html")).doesNotExist();
      }
    }

    assertThat(died).hasSizeGreaterThan(12).contains("before prune 50 %: evaluate");
    assertThat(decidedTwice).isEmpty();
    assertThat(outcome.results().conditions().resumed()).isGreaterThan(5);
    assertThat(outcome.results().stages())
        .extracting(Stage::accepted)
        .containsExactly(true, true, false, true, true);
    assertThat(outcome.targetMet()).isTrue();
    assertThat(out.resolve("steps")).doesNotExist();
    try (Checkpoint accepted = Checkpoints.open(out.resolve("model"))) {
      assertThat(accepted.lineage().steps()).hasSize(1);
    }

    // A finished run is not run again, and not overwritten unasked.
    assertThatThrownBy(() -> optimizer(request(RECIPE), ProgressSink.SILENT).run())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("finished run");
  }

  @Test
  void anotherRecipeOrTextIsNotMixedIn() throws IOException {
    stopAfterBaseline(request(RECIPE));

    assertThatThrownBy(
            () -> optimizer(request(RECIPE.replace("1%", "2%")), ProgressSink.SILENT).run())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("recipe");
    Path other = folder.resolve("other.txt");
    Files.writeString(other, "Once upon a time.<|endoftext|>There was a cat.");
    OptimizeRequest changed = with(request(RECIPE), Optional.of(other), false, Map.of());
    assertThatThrownBy(() -> optimizer(changed, ProgressSink.SILENT).run())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("text_hash");
  }

  @Test
  void aTargetThatIsMissedIsReportedAndDoesNotLookLikeSuccess() throws IOException {
    String recipe = RECIPE.replace("batch: 3", "batch: 1");
    OptimizeRequest request =
        with(request(recipe), Optional.of(text), false, Map.of("min_compression", 100.0));
    OptimizeOutcome outcome = optimizer(request, ProgressSink.SILENT).run();

    assertThat(outcome.targetMet()).isFalse();
    assertThat(outcome.results().checks())
        .anySatisfy(check -> {
          assertThat(check.name()).isEqualTo("min_compression");
          assertThat(check.passed()).isFalse();
          assertThat(check.detail()).startsWith("wanted 100.0, measured 3.7");
        });
    assertThat(Files.readString(out.resolve("report.html"))).contains("Does not hold");
  }

  @Test
  void whatIsWrongIsSaidBeforeAnythingIsWritten() throws IOException {
    refused(with(request(RECIPE), Optional.empty(), false, Map.of()), "--text");
    refused(
        with(request(RECIPE), Optional.of(folder.resolve("none.txt")), false, Map.of()),
        "none.txt is not a file");
    refused(with(request(RECIPE), Optional.of(text), true, Map.of()), "no run to resume");
    refused(
        with(request(RECIPE), Optional.of(text), false, Map.of("min_speed", 2.0)),
        "no target 'min_speed'; there are min_compression");
    refused(request(RECIPE.replace("w8a16", "w3a16")), "recipe.yaml:4:5");
    refused(request(RECIPE.replace("sparsity: 0.5", "sparsity: 1.5")), "recipe.yaml:5:5");
    Files.createDirectories(out);
    Files.writeString(out.resolve("notes.txt"), "mine");
    assertThatThrownBy(() -> optimizer(request(RECIPE), ProgressSink.SILENT).run())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("exists and is not a run");
    assertThat(Files.readString(out.resolve("notes.txt"))).isEqualTo("mine");
  }

  private void refused(OptimizeRequest request, String message) {
    assertThatThrownBy(() -> optimizer(request, ProgressSink.SILENT).run())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining(message);
    assertThat(out).doesNotExist();
  }

  private void stopAfterBaseline(OptimizeRequest request) {
    ProgressSink sink =
        new RecordingSink(new ArrayList<>()) {
          @Override
          public void decided(Stage stage, boolean reused) {
            throw new Killed();
          }
        };
    assertThatThrownBy(() -> optimizer(request, sink).run()).isInstanceOf(Killed.class);
  }

  private static final class Killed extends RuntimeException {
    private static final long serialVersionUID = 1L;
  }

  private static Optimizer optimizer(OptimizeRequest request, ProgressSink sink) {
    return new Optimizer(request, sink, new SpeedTrial.Effort(0, 0));
  }

  private OptimizeRequest request(String recipe) throws IOException {
    Path file = folder.resolve("recipe.yaml");
    Files.writeString(file, recipe);
    return new OptimizeRequest(
        model,
        file.toString(),
        OptionalDouble.empty(),
        Optional.of(text),
        Optional.of("<|endoftext|>"),
        OptionalInt.of(4),
        "cpu",
        0,
        "auto",
        7,
        out,
        false,
        OptionalDouble.empty(),
        Map.of(),
        Optional.empty());
  }

  private static OptimizeRequest on(OptimizeRequest r, String cpuKernels) {
    return new OptimizeRequest(
        r.model(),
        r.recipe(),
        r.maxLossPercent(),
        r.text(),
        r.separator(),
        r.maxDocuments(),
        r.backend(),
        r.threads(),
        cpuKernels,
        r.seed(),
        r.out(),
        r.resume(),
        r.pricePerHour(),
        r.targets(),
        r.trainText());
  }

  private static OptimizeRequest with(
      OptimizeRequest r, Optional<Path> text, boolean resume, Map<String, Double> targets) {
    return new OptimizeRequest(
        r.model(),
        r.recipe(),
        r.maxLossPercent(),
        text,
        r.separator(),
        r.maxDocuments(),
        r.backend(),
        r.threads(),
        r.cpuKernels(),
        r.seed(),
        r.out(),
        resume,
        r.pricePerHour(),
        targets,
        r.trainText());
  }

  private static ProgressSink begun(List<String> parts) {
    return new RecordingSink(parts);
  }

  private static class RecordingSink implements ProgressSink {
    private final List<String> parts;

    RecordingSink(List<String> parts) {
      this.parts = parts;
    }

    @Override
    public void begin(String what) {
      parts.add(what);
    }

    @Override
    public void progress(long done, long total) {}

    @Override
    public void decided(Stage stage, boolean reused) {}

    @Override
    public void note(String message) {}
  }
}
