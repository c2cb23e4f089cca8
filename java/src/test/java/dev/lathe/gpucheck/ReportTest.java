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

  private static JsonNode json(String text) {
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

  @Test
  void mediansAndRatesAreThoseOfTheSamples() {
    Timing timing =
        Timing.of(
                json(
                    "{'bench': 'b', 'samples_us': [30, 10, 20, 40], 'bytes': 50000, 'flops': 100000000}"))
            .orElseThrow();
    assertThat(timing.side()).isEqualTo("lathe");
    assertThat(timing.median()).isEqualTo(25);
    assertThat(timing.quantile(0)).isEqualTo(10);
    assertThat(timing.quantile(1)).isEqualTo(40);
    assertThat(timing.spread()).isCloseTo((37 - 13) / 2.0 / 25, within(1e-12));
    assertThat(timing.gigabytesPerSecond()).hasValue(2); // 50 kB in 25 µs
    assertThat(timing.teraflopsPerSecond()).hasValue(4);
  }

  @Test
  void lineWithoutSamplesIsNoTiming() {
    assertThat(Timing.of(json("{'bench': 'b', 'error': 'unsupported'}"))).isEmpty();
    assertThat(Timing.of(json("{'bench': 'b', 'samples_us': []}"))).isEmpty();
    assertThat(Timing.of(json("{'remark': 'peer'}"))).isEmpty();
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
                    "bench.KernelBench",
                    "{'bench': 'linear', 'shape': '1 x 2 x 3', 'side': 'lathe', 'samples_us': [10, 10, 10], 'bytes': 20000000}"),
                outcome(
                    "peers.linear",
                    "{'bench': 'linear', 'shape': '1 x 2 x 3', 'side': 'torch', 'samples_us': [15, 15, 15]}",
                    "{'bench': 'linear', 'shape': '4 x 4 x 4', 'side': 'torch', 'error': 'too small'}"),
                outcome(
                    "peers.decode-llama-3.2-1b",
                    "{'bench': 'decode_bf16_transformers', 'shape': 'llama-3.2-1b', 'side': 'torch', 'samples_us': [1600]}"),
                outcome("models.llama-3.2-1b-bf16.1", "{'tpot_ms': 1.0}"),
                outcome("models.llama-3.2-1b-bf16.2", "{'tpot_ms': 0.8}"),
                outcome("models.llama-3.2-1b-bf16.3", "{'tpot_ms': 0.5}"),
                outcome("models.llama-3.2-1b-bf16.profile", "{'weights_bytes': 2400000000}")),
            2);
    assertThat(report.machine().slug()).isEqualTo("nvidia-h200");
    assertThat(report.markdown())
        .contains(
            "Not finished: 2 parts are left",
            "driver 580.1, CUDA 13.0, clocks up to 1980 MHz (memory 3201 MHz)",
            "| linear | 1 x 2 x 3 | lathe | 10.00 ± 0.0 % | 2000.0 | 50.0 |  |  |",
            "| linear | 1 x 2 x 3 | torch | 15.00 ± 0.0 % |  |  |  | 1.50 times as long |",
            // 2.4 GB in 0.8 ms are 3,000 GB/s of 4,000.
            "* linear 4 x 4 x 4 by torch: too small",
            "| llama-3.2-1b-bf16 | 1250.0 | [1.0, 0.8, 0.5] | 75.0 % |  | 2.00 times as long |");
    assertThat(report.json().get("complete").booleanValue()).isFalse();
    assertThat(report.json().get("parts").get(1).get("data").get(0).get("samples_us").size())
        .isEqualTo(3);
  }

  @Test
  void optionsAreWhatWasAskedFor() {
    Path root = Path.of("/checkout");
    Options options =
        Options.parse(List.of("--minutes", "9.5", "--only", "tests,bench", "--again"), root);
    assertThat(options.budget()).contains(Duration.ofSeconds(570));
    assertThat(options.wants("bench")).isTrue();
    assertThat(options.wants("models")).isFalse();
    assertThat(options.again()).isTrue();
    assertThat(Options.parse(List.of(), root).wants("sanitize")).isFalse();
    assertThat(Options.parse(List.of("--sanitize"), root).wants("sanitize")).isTrue();
    for (List<String> wrong :
        List.of(
            List.of("--minutes"),
            List.of("--minutes", "-1"),
            List.of("--only", "tea"),
            List.of("--fast"))) {
      assertThatThrownBy(() -> Options.parse(wrong, root))
          .isInstanceOf(InvalidInputException.class);
    }
  }
}
