package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.measure.TraceCheck;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** The verbs on a trained model: their JSON, and the figures that others computed for it. */
class VerbsTest {
  @TempDir private Path folder;

  @BeforeEach
  void model() {
    SharedModel.assume();
  }

  private static ObjectNode generate(String... more) {
    return Run.lathe(
            with(List.of("generate", "--model", SharedModel.MODEL.toString(), "--json"), more))
        .json();
  }

  private static String[] with(List<String> first, String... more) {
    List<String> all = new ArrayList<>(first);
    all.addAll(List.of(more));
    return all.toArray(String[]::new);
  }

  private static List<String> keys(JsonNode node) {
    return List.copyOf(node.propertyNames());
  }

  /** Greedy tokens of the reference, computed in float64 by another implementation. */
  private static JsonNode expectedGreedy() {
    return JsonMapper.shared().readTree(SharedModel.EXPECTED.toFile()).get("greedy_200_from_bos");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "--no-kv-cache", "--cpu-kernels=nd4j"})
  void greedyTokensAreTheReferences(String mode) {
    ObjectNode json =
        mode.isEmpty()
            ? generate("--max-tokens", "60", "--ignore-eos")
            : generate("--max-tokens", "60", "--ignore-eos", mode);
    assertThat(keys(json))
        .contains(
            "text",
            "tokens",
            "prompt_tokens",
            "ttft_ms",
            "tpot_ms",
            "tokens_per_second",
            "backend");
    assertThat(json.get("prompt_tokens").intValue()).isEqualTo(1);
    JsonNode expected = expectedGreedy();
    for (int i = 0; i < 60; i++) {
      // The reference begins with the beginning-of-sequence token.
      assertThat(json.get("tokens").get(i).intValue()).isEqualTo(expected.get(i + 1).intValue());
    }
    assertThat(json.get("text").stringValue()).startsWith("Once upon a time");
    assertThat(json.get("ttft_ms").doubleValue()).isPositive();
    assertThat(json.get("tpot_ms").doubleValue()).isPositive();
  }

  @Test
  void aBatchGeneratesWhatEachPromptGeneratesAlone() {
    ObjectNode both =
        generate("--max-tokens", "12", "--prompt", "The dog", "--prompt", "", "--batch", "2");
    ObjectNode dog = generate("--max-tokens", "12", "--prompt", "The dog");
    assertThat(both.get("generations").get(0).get("tokens")).isEqualTo(dog.get("tokens"));
    assertThat(both.get("generations").get(1).get("tokens").get(0).intValue())
        .isEqualTo(expectedGreedy().get(1).intValue());
  }

  @Test
  void aSeedGivesTheSameTextAgainAndAnotherSeedAnother() {
    String[] drawn = {"--max-tokens", "24", "--temperature", "1", "--top-p", "0.95"};
    ObjectNode once = generate(with(List.of(drawn), "--seed", "7"));
    assertThat(generate(with(List.of(drawn), "--seed", "7")).get("tokens"))
        .isEqualTo(once.get("tokens"));
    assertThat(generate(with(List.of(drawn), "--seed", "8")).get("tokens"))
        .isNotEqualTo(once.get("tokens"));
  }

  @Test
  void aStopTextEndsTheTextBeforeIt() {
    ObjectNode json = generate("--max-tokens", "60", "--stop", " there was");
    assertThat(json.get("text").stringValue()).isEqualTo("Once upon a time,");
    assertThat(json.get("finish").stringValue()).isEqualTo("stop");
  }

  @Test
  void withoutJsonTheTextStreamsToStdoutAndFiguresGoToStderr() {
    Run run = Run.lathe("generate", "--model", SharedModel.MODEL.toString(), "--max-tokens", "8");
    assertThat(run.code()).isZero();
    assertThat(run.out()).isEqualTo("Once upon a time, there was a\n");
    assertThat(run.err()).contains("tokens/s");
  }

  @Test
  void perplexityIsTheReferences() {
    ObjectNode json =
        Run.lathe(
                "eval",
                "--model",
                SharedModel.MODEL.toString(),
                "--text",
                SharedModel.TEXT.toString(),
                "--separator",
                SharedModel.SEPARATOR,
                "--max-documents",
                "40",
                "--json")
            .json();
    // README of the shared data: 3.473230590 in float64; 0.01 % is asked for.
    assertThat(json.get("perplexity").doubleValue())
        .isCloseTo(3.473230590, within(3.473230590 * 1e-4));
    assertThat(json.get("tokens").longValue()).isEqualTo(12571);
    assertThat(json.get("mean_nll").doubleValue())
        .isCloseTo(Math.log(json.get("perplexity").doubleValue()), within(1e-12));
    assertThat(json.get("perplexity_standard_error").doubleValue()).isPositive();
    assertThat(json.has("kl_mean")).isFalse();
  }

  @Test
  void quantizeAndPruneWriteModelsThatTheOtherVerbsOpen() {
    String int8 = folder.resolve("int8").toString();
    ObjectNode quantized =
        Run.lathe("quantize", "--model", SharedModel.MODEL.toString(), "--out", int8, "--json")
            .json();
    assertThat(keys(quantized)).contains("out", "bytes", "compression", "layers");
    assertThat(quantized.get("out").stringValue()).isEqualTo(int8);
    assertThat(quantized.get("bytes").longValue())
        .isEqualTo(Path.of(int8, "model.safetensors").toFile().length());
    // 260,032 parameters; the file is what says how much smaller it is.
    assertThat(quantized.get("compression").doubleValue())
        .isCloseTo(260_032 * 4.0 / quantized.get("bytes").longValue(), within(1e-9));
    assertThat(quantized.get("layers").get(0).get("error").doubleValue()).isBetween(1e-4, 0.02);

    String sparse = folder.resolve("sparse").toString();
    ObjectNode pruned =
        Run.lathe("prune", "--model", int8, "--sparsity", "0.5", "--out", sparse, "--json").json();
    assertThat(pruned.get("bytes").longValue()).isLessThan(quantized.get("bytes").longValue());
    // The bytes of all parameters as F32, counted through the bitmaps, are still the same.
    assertThat(pruned.get("compression").doubleValue())
        .isCloseTo(260_032 * 4.0 / pruned.get("bytes").longValue(), within(1e-9));

    ObjectNode compared =
        Run.lathe(
                "eval",
                "--model",
                int8,
                "--base",
                SharedModel.MODEL.toString(),
                "--text",
                SharedModel.TEXT.toString(),
                "--separator",
                SharedModel.SEPARATOR,
                "--max-documents",
                "4",
                "--json")
            .json();
    assertThat(keys(compared)).contains("kl_mean", "top1_agreement", "loss_percent");
    assertThat(compared.get("kl_mean").doubleValue()).isBetween(1e-6, 0.01);
    assertThat(compared.get("top1_agreement").doubleValue()).isBetween(0.95, 1.0);

    // What a sparse model compresses to again is counted from its shape, not from its values.
    assertThat(Files.isRegularFile(Path.of(sparse, "lineage.json"))).isTrue();
  }

  @Test
  void profileHasTheKeysThatOthersRelyOn() {
    ObjectNode json =
        Run.lathe(
                "profile",
                "--model",
                SharedModel.MODEL.toString(),
                "--prompt-tokens",
                "16",
                "--max-tokens",
                "4",
                "--repetitions",
                "2",
                "--json")
            .json();
    assertThat(keys(json))
        .contains(
            "params",
            "flops",
            "weights_bytes",
            "kv_cache_type",
            "kv_bytes_per_token",
            "ops",
            "bottleneck",
            "advice");
    assertThat(json.get("params").longValue()).isEqualTo(260_032);
    assertThat(keys(json.get("ops").get(0)))
        .contains("name", "calls", "time_ms", "flops", "bytes", "gbs", "tflops", "bound");
    assertThat(json.get("advice").size()).isPositive();
    // The CPU's operations are all that it shows: it has no launches, and nothing to wait for.
    assertThat(json.get("kernels").size()).isZero();
    assertThat(json.get("device_phases").size()).isZero();
    assertThat(json.get("syncs").size()).isZero();
    assertThat(json.get("host_gap_percent").isNull()).isTrue();
    assertThat(json.get("host_gap").isNull()).isTrue();
    assertThat(json.get("ceilings").get("tensor_cores").isNull()).isTrue();
  }

  @Test
  void aProfileIsARunFolderWithATrace() throws IOException {
    Path out = folder.resolve("profiled");
    String[] line = {
      "profile",
      "--model",
      SharedModel.MODEL.toString(),
      "--backend",
      "cpu",
      "--prompt-tokens",
      "4",
      "--max-tokens",
      "3",
      "--repetitions",
      "2",
      "--json",
      "--out",
      out.toString()
    };
    ObjectNode json = Run.lathe(line).json();
    TraceCheck trace = new TraceCheck(Files.readAllBytes(out.resolve("trace.json")));
    int calls = 0;
    for (JsonNode op : json.get("ops")) {
      calls += op.get("calls").intValue();
    }
    assertThat(trace.track(SharedModel.MODEL.getFileName().toString(), "operations"))
        .hasSize(calls);
    assertThat(JsonMapper.shared().readTree(out.resolve("results.json").toFile()).get("ops"))
        .isEqualTo(json.get("ops"));
    assertThat(Files.readAllLines(out.resolve("samples.jsonl"))).hasSize(2);
    assertThat(
            JsonMapper.shared().readTree(out.resolve("run.json").toFile()).get("verb").asString())
        .isEqualTo("profile");
    Run.lathe(line).refused(2).says("holds a run already");
    Run.lathe("report", out.toString()).refused(2).says("is a run of 'profile'");
  }

  /** Ctrl-C interrupts the thread that works; here it has been pressed before the work begins. */
  @ParameterizedTest
  @ValueSource(strings = {"quantize", "prune", "eval", "profile", "generate", "optimize"})
  void ctrlCEndsEveryVerbWith130AndLeavesNothing(String verb) {
    Path out = folder.resolve("out");
    List<String> line = new ArrayList<>(List.of(verb, "--model", SharedModel.MODEL.toString()));
    if (List.of("quantize", "prune", "optimize").contains(verb)) {
      line.addAll(List.of("--out", out.toString()));
    }
    if (List.of("eval", "optimize").contains(verb)) {
      line.addAll(List.of("--text", SharedModel.TEXT.toString(), "--max-documents", "4"));
    }
    if (verb.equals("prune")) {
      line.addAll(List.of("--sparsity", "0.5"));
    }
    Thread.currentThread().interrupt();
    Run run;
    try {
      run = Run.lathe(line.toArray(String[]::new));
    } finally {
      Thread.interrupted();
    }
    assertThat(run.code()).as(run.err()).isEqualTo(130);
    assertThat(run.err()).contains("lathe: interrupted");
    if (!verb.equals("optimize")) {
      // An optimize run keeps its folder, to be resumed.
      assertThat(folder).isEmptyDirectory();
    }
  }
}
