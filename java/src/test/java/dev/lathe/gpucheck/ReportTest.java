package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Figures of the tables, on samples written by hand. */
class ReportTest {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  static JsonNode json(String text) {
    return JSON.readTree(text.replace('\'', '"'));
  }

  private static Outcome outcome(String id, String... lines) {
    ArrayNode data = JSON.createArrayNode();
    for (String line : lines) {
      data.add(json(line));
    }
    ObjectNode none = JSON.createObjectNode();
    return new Outcome(id, Outcome.Status.PASSED, 1, "", "", data, none, none, "a command");
  }

  static Timing timing(String text) {
    return Timing.of(json(text)).orElseThrow();
  }

  @Test
  void mediansAndRatesAreThoseOfTheSamples() {
    Timing timing =
        timing(
            "{'bench': 'b', 'samples_us': [30, 10, 20, 40], 'bytes': 50000, 'flops': 100000000}");
    assertThat(timing.side()).isEqualTo("lathe");
    assertThat(timing.median()).isEqualTo(25);
    assertThat(timing.quantile(0)).isEqualTo(10);
    assertThat(timing.quantile(1)).isEqualTo(40);
    assertThat(timing.spread()).isCloseTo((37 - 13) / 2.0 / 25, within(1e-12));
    assertThat(timing.gigabytesPerSecond()).hasValue(2); // 50 kB in 25 µs
    assertThat(timing.teraflopsPerSecond()).hasValue(4);
  }

  @Test
  void ratioIsOfPairsWhereSamplesWereTakenInTurns() {
    // The clock fell to half between the samples; each pair says 2, and so must the ratio.
    Timing one = timing("{'bench': 'b', 'samples_us': [10, 20, 30], 'paired': 'p'}");
    Timing other = timing("{'bench': 'c', 'samples_us': [20, 40, 60], 'paired': 'p'}");
    assertThat(one.ratioOf(other)).isEqualTo(2);
    Timing swapped = timing("{'bench': 'c', 'samples_us': [60, 40, 20], 'paired': 'p'}");
    assertThat(one.ratioOf(swapped)).isEqualTo(2);
    Timing uneven = timing("{'bench': 'c', 'samples_us': [60, 22, 33], 'paired': 'p'}");
    assertThat(one.ratioOf(uneven)).isCloseTo(1.1, within(1e-12));
    Timing apart = timing("{'bench': 'c', 'samples_us': [60, 22, 33]}");
    assertThat(one.ratioOf(apart)).isCloseTo(33 / 20.0, within(1e-12));
    assertThat(one.pairedWith(apart)).isFalse();
    assertThat(apart.pairedWith(apart)).isFalse();
  }

  @Test
  void lineWithoutSamplesIsNoTiming() {
    assertThat(Timing.of(json("{'bench': 'b', 'error': 'unsupported'}"))).isEmpty();
    assertThat(Timing.of(json("{'bench': 'b', 'samples_us': []}"))).isEmpty();
    assertThat(Timing.of(json("{'remark': 'peer'}"))).isEmpty();
  }

  @Test
  void variantsAreOurs() {
    assertThat(timing("{'bench': 'b', 'side': 'lathe, pages of 64', 'samples_us': [1]}").ours())
        .isTrue();
    assertThat(timing("{'bench': 'b', 'side': 'cublas', 'samples_us': [1]}").ours()).isFalse();
  }

  @Test
  void floorIsTheLongerOfMovingAndComputing() {
    Findings findings =
        Findings.of(
            List.of(
                outcome(
                    "bench.asked",
                    "{'bench': 'read_f32', 'shape': 's', 'samples_us': [10], 'bytes': 40000000}",
                    "{'bench': 'a', 'shape': 's', 'samples_us': [10], 'bytes': 20000000, 'flops': 1, 'arithmetic': 'bf16'}",
                    "{'bench': 'm', 'shape': 's', 'samples_us': [10], 'flops': 8000000000, 'arithmetic': 'bf16'}",
                    "{'bench': 'm', 'shape': 's', 'side': 'cublas', 'samples_us': [8], 'flops': 8000000000, 'arithmetic': 'bf16'}",
                    "{'bench': 'i', 'shape': 's', 'samples_us': [8], 'flops': 8000000000, 'arithmetic': 'fp4'}")),
            json(
                "{'backends': [{'name': 'cuda', 'peak_bandwidth_gbs': 9, 'peak_tflops': 60, 'peak_bf16_tensor_tflops': 900}]}"));
    assertThat(findings.readGbs()).hasValue(4000); // the row's, not doctor's
    assertThat(findings.peakTflops("bf16")).hasValue(1000);
    assertThat(findings.peakTflops("f32")).hasValue(60);
    assertThat(findings.peakTflops("int8")).isEmpty();
    List<Timing> rows = findings.timings();
    assertThat(findings.floorMicros(rows.get(1))).hasValue(5);
    assertThat(findings.percentOfFloor(rows.get(1))).hasValue(50);
    assertThat(findings.floorMicros(rows.get(2))).hasValue(8);
    assertThat(findings.percentOfFloor(rows.get(2)).orElseThrow()).isCloseTo(80, within(1e-9));
    assertThat(findings.peerOf(rows.get(2))).contains(rows.get(3));
    assertThat(findings.peerOf(rows.get(1))).isEmpty();
  }

  @Test
  void tablesHoldOursAgainstTheirs() {
    JsonNode doctor =
        json(
            "{'gpu': {'driver': '580.1, CUDA 13.0', 'sm_clock_max_mhz': 1980, 'memory_clock_max_mhz': 3201},"
                + " 'backends': [{'name': 'cuda', 'peak_bandwidth_gbs': 4000}]}");
    Report report =
        new Report(
            new Machine("NVIDIA H200", doctor, Map.of()),
            "abc",
            "2026-11-20",
            List.of(
                outcome(
                    "bench.asked",
                    "{'bench': 'linear', 'shape': '1 x 2 x 3', 'side': 'lathe', 'samples_us': [10, 10, 10], 'bytes': 20000000, 'paired': 'x'}",
                    "{'bench': 'half', 'shape': '1 x 2 x 3', 'side': 'lathe', 'samples_us': [4, 5, 6], 'paired': 'y'}",
                    "{'bench': 'whole', 'shape': '1 x 2 x 3', 'side': 'cublas', 'samples_us': [8, 10, 12], 'paired': 'y'}"),
                outcome(
                    "peers.asked",
                    "{'bench': 'linear', 'shape': '1 x 2 x 3', 'side': 'torch', 'samples_us': [15, 15, 15]}",
                    "{'bench': 'linear', 'shape': '4 x 4 x 4', 'side': 'torch', 'error': 'too small'}"),
                outcome("models.profile-llama-3.2-1b", "{'host_gap_percent': 2.5}")),
            2);
    assertThat(report.machine().slug()).isEqualTo("nvidia-h200");
    assertThat(report.markdown())
        .contains(
            "Not finished: 2 parts are left",
            "driver 580.1, CUDA 13.0, clocks up to 1980 MHz (memory 3201 MHz)",
            "| linear | 1 x 2 x 3 | lathe | 3 | 10.00 ± 0.0 % | 2000 |  | 5.00 | 50.0 | torch | 15.00 | 1.50 |",
            "| half | 1 x 2 x 3 | lathe | 3 | 5.00 ± 16.0 % |  |  |  |  | cublas whole | 10.00 | 2.00* |",
            "| linear | 1 x 2 x 3 | torch | 3 | 15.00 ± 0.0 % |  |  |  |  |  |  |  |",
            "* linear 4 x 4 x 4 by torch: too small",
            "host's gap between decode steps at most 3 % | met | 2.50 % |",
            "W8A16, batch 1, 28672 x 8192: at least 85 % of the measured read bandwidth | not measured |");
    ObjectNode json = report.json();
    assertThat(json.get("complete").booleanValue()).isFalse();
    assertThat(json.get("asks").size()).isEqualTo(10);
    assertThat(json.get("rows").get(0).get("peer_ratio").doubleValue()).isEqualTo(1.5);
    assertThat(json.get("rows").get(1).get("paired").booleanValue()).isTrue();
    assertThat(json.get("parts").get(1).get("data").get(0).get("samples_us").size()).isEqualTo(3);
  }

  @Test
  void optionsAreWhatWasAskedFor() {
    Path root = Path.of("/checkout");
    Options options =
        Options.parse(
            List.of("--minutes", "9.5", "--only", "tests,bench.asked", "--again", "--tests", "Row"),
            root);
    assertThat(options.budget()).contains(Duration.ofSeconds(570));
    assertThat(options.wants(part("bench", "asked"))).isTrue();
    assertThat(options.wants(part("bench", "rest"))).isFalse();
    assertThat(options.wants(part("tests", "cuda of Row"))).isTrue();
    assertThat(options.wants(part("tests", "cuda"))).isFalse();
    assertThat(options.wants(part("models", "x"))).isFalse();
    assertThat(options.wantsTest("dev.lathe.backend.cuda.GatherRowsKernelTest")).isTrue();
    assertThat(options.wantsTest("dev.lathe.backend.cuda.NormKernelsTest")).isFalse();
    Part sanitize = part("sanitize", "memcheck.A");
    assertThat(Options.parse(List.of(), root).wants(sanitize)).isFalse();
    assertThat(Options.parse(List.of(), root).wants(part("tests", "cuda"))).isTrue();
    assertThat(Options.parse(List.of(), root).wants(part("tests", "cuda of Row"))).isFalse();
    assertThat(Options.parse(List.of("--sanitize"), root).wants(sanitize)).isTrue();
    assertThat(Options.parse(List.of("--sanitize"), root).wants(part("tests", "cuda"))).isTrue();
    assertThat(Options.parse(List.of("--only", "sanitize"), root).wants(sanitize)).isTrue();
    for (List<String> wrong :
        List.of(
            List.of("--minutes"),
            List.of("--minutes", "-1"),
            List.of("--only", "tea"),
            List.of("--tests", "("),
            List.of("--fast"))) {
      assertThatThrownBy(() -> Options.parse(wrong, root))
          .isInstanceOf(InvalidInputException.class);
    }
  }

  private static Part part(String group, String name) {
    return Part.missing(group, name, Part.Kind.ITEMS, "");
  }
}
