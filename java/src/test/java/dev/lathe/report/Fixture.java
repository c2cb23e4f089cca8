package dev.lathe.report;

import dev.lathe.measure.Statistics.Interval;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.report.OptimizeResults.Conditions;
import dev.lathe.report.OptimizeResults.Cost;
import dev.lathe.report.OptimizeResults.Evaluation;
import dev.lathe.report.OptimizeResults.Formula;
import dev.lathe.report.OptimizeResults.Generation;
import dev.lathe.report.OptimizeResults.Operation;
import dev.lathe.report.OptimizeResults.Plan;
import dev.lathe.report.OptimizeResults.Price;
import dev.lathe.report.OptimizeResults.Profile;
import dev.lathe.report.OptimizeResults.Subject;
import dev.lathe.report.Stage.Kind;
import dev.lathe.report.Stage.Latency;
import dev.lathe.report.Stage.Layer;
import dev.lathe.report.Stage.Quality;
import dev.lathe.report.Stage.Quantile;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Made-up results of the shape that a run has, for tests of how they are shown. */
final class Fixture {
  /** What a hostile model could bring along. */
  static final String HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>";

  static final Stage BASELINE =
      new Stage(
          "baseline",
          Kind.BASELINE,
          "baseline",
          true,
          "what every other stage is compared with",
          1_043_000,
          0.997,
          OptionalLong.of(1_040_128),
          OptionalLong.of(2_560),
          quality(3.47323, 0, false),
          OptionalDouble.of(212.4),
          OptionalDouble.of(205.1),
          OptionalDouble.of(214.9),
          1,
          false,
          OptionalDouble.of(0.91),
          OptionalDouble.of(4.71),
          OptionalDouble.of(212.4),
          OptionalDouble.of(1),
          OptionalDouble.empty(),
          latency(4.5),
          List.of());

  static final Stage QUANTIZED =
      new Stage(
          "quantize-w8a16",
          Kind.TECHNIQUE,
          "INT8 weights, symmetric, per channel",
          true,
          "perplexity +0.083 % of +1.50 % allowed, and 3.83× smaller",
          272_300,
          3.82,
          OptionalLong.of(270_100),
          OptionalLong.of(2_560),
          quality(3.47612, 0.0832, true),
          OptionalDouble.of(236.0),
          OptionalDouble.of(230.0),
          OptionalDouble.of(240.0),
          1,
          false,
          OptionalDouble.of(0.88),
          OptionalDouble.of(4.2),
          OptionalDouble.of(212.4),
          OptionalDouble.of(1.11),
          OptionalDouble.of(1.11),
          latency(4.1),
          List.of(
              new Layer("model.layers.0.self_attn.q_proj", "int8", 16384, 4224, 0.0041, 0.003)));

  static final Stage PRUNED =
      new Stage(
          "prune-50",
          Kind.TECHNIQUE,
          "50 % magnitude pruning by layer",
          false,
          "perplexity +905 % where +1.50 % is allowed",
          178_400,
          5.83,
          OptionalLong.of(180_000),
          OptionalLong.of(2_560),
          quality(34.91, 905.1, true),
          OptionalDouble.of(229.0),
          OptionalDouble.of(221.0),
          OptionalDouble.of(233.0),
          1,
          false,
          OptionalDouble.of(0.9),
          OptionalDouble.of(4.4),
          OptionalDouble.of(212.4),
          OptionalDouble.of(1.08),
          OptionalDouble.of(0.97),
          latency(4.2),
          List.of());

  static final Stage CACHED =
      new Stage(
          "kv-cache",
          Kind.KV_CACHE,
          "KV-cache",
          true,
          "2,410 tokens/s where 236 were without it, and the same 256 tokens",
          272_300,
          3.82,
          OptionalLong.of(270_100),
          OptionalLong.of(2_560),
          quality(3.47612, 0.0832, true),
          OptionalDouble.of(2410),
          OptionalDouble.of(2280),
          OptionalDouble.of(2452),
          1,
          true,
          OptionalDouble.of(0.62),
          OptionalDouble.of(0.41),
          OptionalDouble.of(212.4),
          OptionalDouble.of(11.35),
          OptionalDouble.of(10.2),
          latency(0.41),
          List.of());

  static final Stage BATCHED =
      new Stage(
          "batch-8",
          Kind.BATCH,
          "8 sequences together",
          true,
          "9,120 tokens/s, 3.78× one sequence, and the same tokens",
          272_300,
          3.82,
          OptionalLong.of(270_100),
          OptionalLong.of(2_560),
          quality(3.47612, 0.0832, true),
          OptionalDouble.of(9120),
          OptionalDouble.of(8900),
          OptionalDouble.of(9300),
          8,
          true,
          OptionalDouble.of(1.9),
          OptionalDouble.of(0.87),
          OptionalDouble.of(212.4),
          OptionalDouble.of(42.9),
          OptionalDouble.of(3.78),
          latency(0.88),
          List.of());

  private Fixture() {}

  /** The same stage with another KV-cache. */
  static Stage withCache(Stage s, OptionalLong kvBytesPerToken) {
    return new Stage(
        s.name(),
        s.kind(),
        s.what(),
        s.accepted(),
        s.reason(),
        s.bytes(),
        s.compression(),
        s.residentBytes(),
        kvBytesPerToken,
        s.quality(),
        s.tokensPerSecond(),
        s.tokensPerSecondLow(),
        s.tokensPerSecondHigh(),
        s.sequences(),
        s.cached(),
        s.ttftMs(),
        s.tpotMs(),
        s.baselineTokensPerSecond(),
        s.speedup(),
        s.ownSpeedup(),
        s.latency(),
        s.layers());
  }

  static OptimizeResults results() {
    return results(List.of(BASELINE, QUANTIZED, PRUNED, CACHED, BATCHED), "models/tiny", true);
  }

  static OptimizeResults results(List<Stage> stages, String path, boolean full) {
    return new OptimizeResults(
        "model",
        "report.html",
        true,
        new Subject(path, "ab".repeat(32), "llama", 260_032, 5, 64, 512, 512, 2560),
        new Plan(
            "balanced",
            "built in",
            1.5,
            List.of("INT8 weights, symmetric, per channel", "50 % magnitude pruning by layer")),
        new Evaluation("stories.txt", "cd".repeat(32), Optional.of("<|endoftext|>"), 40, 13_316),
        new Generation(8, 256, 3),
        stages,
        List.of(
            new Check("same tokens with and without the KV-cache", true, "256 of 256"),
            new Check("min_speedup", true, "wanted 6, measured 11.4")),
        full ? Optional.of(profile(4.0, "baseline without KV-cache")) : Optional.empty(),
        full ? Optional.of(profile(0.35, "INT8 with KV-cache")) : Optional.empty(),
        full ? Optional.of(cost()) : Optional.empty(),
        new Conditions(
            "lathe 0.1.0",
            "0123abc",
            "Example CPU, 2 cores, 25 GB",
            "Linux 6.1 amd64",
            "Temurin 25",
            "cpu",
            "libcuda.so.1 is not installed",
            "Example CPU @ 2.80GHz",
            "avx512-vnni",
            OptionalLong.of(25_000_000_000L),
            OptionalInt.of(2),
            "native",
            42,
            "2026-11-20T12:00:00Z",
            "2026-11-20T12:01:30Z",
            1),
        List.of(new Formula("TPOT", "(last token − first token) ÷ (tokens − 1), per sequence")));
  }

  private static Optional<Quality> quality(double perplexity, double loss, boolean compared) {
    return Optional.of(
        new Quality(
            perplexity,
            OptionalDouble.of(0.031),
            loss,
            compared ? Optional.of(new Interval(loss * 0.8, loss * 1.2)) : Optional.empty(),
            compared ? OptionalDouble.of(loss / 1000) : OptionalDouble.empty(),
            compared ? OptionalDouble.of(loss > 1 ? 0.41 : 0.9912) : OptionalDouble.empty(),
            13_316));
  }

  private static Optional<Latency> latency(double p50) {
    return Optional.of(
        new Latency(
            OptionalDouble.of(p50),
            OptionalDouble.of(p50 * 1.7),
            OptionalDouble.of(p50 * 1.85),
            OptionalDouble.of(p50 * 2.1),
            768,
            List.of(
                new Quantile(0, p50 * 0.3),
                new Quantile(0.01, p50 * 0.35),
                new Quantile(0.05, p50 * 0.45),
                new Quantile(0.1, p50 * 0.5),
                new Quantile(0.25, p50 * 0.7),
                new Quantile(0.5, p50),
                new Quantile(0.75, p50 * 1.4),
                new Quantile(0.9, p50 * 1.7),
                new Quantile(0.95, p50 * 1.85),
                new Quantile(0.99, p50 * 2.1),
                new Quantile(1, p50 * 3))));
  }

  private static Profile profile(double scale, String what) {
    return new Profile(
        what,
        64,
        List.of(
            op("linear", 120 * scale, "memory"),
            op("attention", 70 * scale, "memory"),
            op("rms_norm", 9 * scale, "latency"),
            op("gate", 6 * scale, "memory"),
            op("embed", 0.4 * scale, "memory")),
        "memory",
        List.of("INT8 weights", "larger batches"));
  }

  private static Operation op(String name, double millis, String bound) {
    return new Operation(
        name,
        640,
        millis,
        OptionalLong.of(12_345_678),
        OptionalLong.of(2_000_000),
        OptionalDouble.of(3.1),
        OptionalDouble.of(0.012),
        bound);
  }

  private static Cost cost() {
    return new Cost(
        2.5,
        "EUR",
        OptionalDouble.of(10_000),
        256,
        new Price(212.4, 3.27, 305_856, 21_900, OptionalDouble.of(0.139), OptionalDouble.of(3055)),
        Optional.of(
            new Price(
                2410, 0.288, 3.47e6, 1930, OptionalDouble.of(0.0123), OptionalDouble.of(269))),
        Optional.of(
            new Price(9120, 0.076, 13.1e6, 510, OptionalDouble.of(0.0032), OptionalDouble.of(71))));
  }
}
