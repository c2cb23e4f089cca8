package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.gpucheck.Asks.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Each verdict on rows written by hand: met at its limit, missed just beyond, and without a row.
 */
class AsksTest {
  private static final String READ =
      "{'bench': 'read_f32', 'shape': 's', 'side': 'lathe', 'samples_us': [10], 'bytes': 40000000}";
  private static final int ASKS = 10;

  private static Findings findings(Map<String, Double> gaps, String... rows) {
    List<Timing> timings = new ArrayList<>();
    for (String row : rows) {
      timings.add(ReportTest.timing(row));
    }
    return new Findings(timings, OptionalDouble.empty(), Map.of(), gaps);
  }

  private static Status status(Findings findings, String ask) {
    return verdict(findings, ask).status();
  }

  private static Asks.Verdict verdict(Findings findings, String ask) {
    List<Asks.Verdict> found =
        Asks.judge(findings).stream().filter(v -> v.ask().contains(ask)).toList();
    assertThat(found).as(ask).hasSize(1);
    return found.getFirst();
  }

  /** So many bytes that the row reaches this percentage of 4,000 GB/s in 1,000 µs. */
  private static String row(String bench, String shape, String side, double percent) {
    return "{'bench': '%s', 'shape': '%s', 'side': '%s', 'samples_us': [1000, 1000], 'bytes': %d}"
        .formatted(bench, shape, side, Math.round(percent * 4e7));
  }

  @Test
  void withoutRowsNothingIsMeasured() {
    assertThat(Asks.judge(findings(Map.of())))
        .hasSize(ASKS)
        .allSatisfy(v -> assertThat(v.status()).isEqualTo(Status.NOT_MEASURED))
        .allSatisfy(v -> assertThat(v.measured()).startsWith("there is no "));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "3.2-1b:bf16, batch 1: at least 70 | decode_bf16 | llama-3.2-1b | 70",
        "3.1-8b:bf16, batch 1: at least 75 | decode_bf16 | llama-3.1-8b | 75",
        "8 KV heads: at least 85 | attention_decode_bf16 | 32 x 4096, 32/8 heads of 128 | 85",
        "W8A16, batch 1, 28672 x 8192: at least 85 | linear_w8a16 | 1 x 28672 x 8192 | 85",
      })
  void partsOfTheBandwidth(String ask, String bench, String shape, double percent) {
    assertThat(status(findings(Map.of(), READ, row(bench, shape, "lathe", percent)), ask))
        .isEqualTo(Status.MET);
    assertThat(status(findings(Map.of(), READ, row(bench, shape, "lathe", percent - 0.1)), ask))
        .isEqualTo(Status.MISSED);
    // Another shape, another side, no bandwidth, no bytes: none of it is the row.
    assertThat(status(findings(Map.of(), READ, row(bench, "other", "lathe", 99)), ask))
        .isEqualTo(Status.NOT_MEASURED);
    assertThat(status(findings(Map.of(), READ, row(bench, shape, "torch", 99)), ask))
        .isEqualTo(Status.NOT_MEASURED);
    assertThat(status(findings(Map.of(), row(bench, shape, "lathe", 99)), ask))
        .isEqualTo(Status.NOT_MEASURED);
    String noBytes =
        "{'bench': '%s', 'shape': '%s', 'side': 'lathe', 'samples_us': [1]}"
            .formatted(bench, shape);
    assertThat(status(findings(Map.of(), READ, noBytes), ask)).isEqualTo(Status.NOT_MEASURED);
  }

  private static String timed(
      String bench, String shape, String side, String samples, String pair) {
    return "{'bench': '%s', 'shape': '%s', 'side': '%s', 'samples_us': [%s], 'paired': '%s'}"
        .formatted(bench, shape, side, samples, pair);
  }

  @Test
  void transformersAndWhatStandsInForIt() {
    String ask = "times transformers";
    String ours = timed(Asks.DECODE, "llama-3.2-1b", "lathe", "100", "");
    String met = timed(Asks.TRANSFORMERS, "llama-3.2-1b", "torch", "150", "");
    String missed = timed(Asks.TRANSFORMERS, "llama-3.2-1b", "torch", "149", "");
    String plain = timed(Asks.DECODE, "llama-3.2-1b", "torch", "120", "");
    assertThat(status(findings(Map.of(), ours, met, plain), ask)).isEqualTo(Status.MET);
    assertThat(status(findings(Map.of(), ours, missed), ask)).isEqualTo(Status.MISSED);
    assertThat(status(findings(Map.of(), ours), ask)).isEqualTo(Status.NOT_MEASURED);
    assertThat(status(findings(Map.of(), met), ask)).isEqualTo(Status.NOT_MEASURED);
    assertThat(verdict(findings(Map.of(), ours, plain), ask).measured())
        .isEqualTo("1.20 times plain PyTorch, for want of transformers");
    assertThat(status(findings(Map.of(), ours, plain), ask)).isEqualTo(Status.MISSED);
  }

  @Test
  void pagesOfSixteenBesideSixtyFour() {
    String ask = "pages of 16 within 5 %";
    String small = timed(Asks.ATTENTION, Asks.PAGED, "lathe", "105, 210", "p");
    String large = timed(Asks.ATTENTION, Asks.PAGED, "lathe, pages of 64", "100, 200", "p");
    String faster = timed(Asks.ATTENTION, Asks.PAGED, "lathe, pages of 64", "99, 198", "p");
    String other = timed(Asks.ATTENTION, Asks.PAGED, "lathe, pages of 256", "100, 200", "p");
    assertThat(status(findings(Map.of(), small, large), ask)).isEqualTo(Status.MET);
    assertThat(status(findings(Map.of(), small, faster), ask)).isEqualTo(Status.MISSED);
    assertThat(status(findings(Map.of(), small, other), ask)).isEqualTo(Status.NOT_MEASURED);
    assertThat(status(findings(Map.of(), large), ask)).isEqualTo(Status.NOT_MEASURED);
  }

  @ParameterizedTest
  @CsvSource({"4096", "8192"})
  void integersBesideCublas(int size) {
    String shape = "%d x %d x %d".formatted(size, size, size);
    String ask = "W8A8, " + shape;
    String ours = timed("linear_w8a8", shape, "lathe", "100, 100", "p");
    String met = timed("linear_bf16", shape, "cublas", "120, 120", "p");
    String missed = timed("linear_bf16", shape, "cublas", "119, 119", "p");
    String apart = timed("linear_bf16", shape, "cublas", "120, 120", "q");
    String torch = timed("linear_bf16", shape, "torch", "110", "");
    String slowTorch = timed("linear_bf16", shape, "torch", "300", "");
    assertThat(status(findings(Map.of(), ours, met), ask)).isEqualTo(Status.MET);
    assertThat(status(findings(Map.of(), ours, met, slowTorch), ask)).isEqualTo(Status.MET);
    assertThat(status(findings(Map.of(), ours, missed, slowTorch), ask)).isEqualTo(Status.MISSED);
    // cuBLAS is as fast as whoever calls it best.
    assertThat(status(findings(Map.of(), ours, met, torch), ask)).isEqualTo(Status.MISSED);
    assertThat(status(findings(Map.of(), ours, apart), ask)).isEqualTo(Status.NOT_MEASURED);
    assertThat(status(findings(Map.of(), ours), ask)).isEqualTo(Status.NOT_MEASURED);
    assertThat(status(findings(Map.of(), met), ask)).isEqualTo(Status.NOT_MEASURED);
    String eight = timed("linear_w8a8", shape, "cublas", "120, 120", "p");
    assertThat(status(findings(Map.of(), ours, eight), ask)).isEqualTo(Status.NOT_MEASURED);
  }

  @ParameterizedTest
  @CsvSource({"llama-3.2-1b", "llama-3.1-8b"})
  void gapOfTheHost(String model) {
    String ask = model + ":bf16: the host's gap";
    assertThat(status(findings(Map.of(model, 3.0)), ask)).isEqualTo(Status.MET);
    assertThat(status(findings(Map.of(model, 3.01)), ask)).isEqualTo(Status.MISSED);
    assertThat(status(findings(Map.of("another", 1.0)), ask)).isEqualTo(Status.NOT_MEASURED);
  }
}
