package dev.lathe.gpucheck;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Function;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** What the project asks of a GPU, and whether what was measured meets it. */
final class Asks {
  static final String DECODE = "decode_bf16";
  static final String TRANSFORMERS = "decode_bf16_transformers";
  static final String ATTENTION = "attention_decode_bf16";
  static final String PAGED = "32 x 4096, 32/8 heads of 128";
  static final String WIDE = "1 x 28672 x 8192";

  private Asks() {}

  enum Status {
    MET,
    MISSED,
    NOT_MEASURED;

    String text() {
      return name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
  }

  /**
   * @param ask what of, and how much
   * @param measured the figure, or what it would have taken
   */
  record Verdict(String ask, Status status, String measured) {
    String line() {
      return "%s: %s (%s)".formatted(ask, status.text(), measured);
    }

    ObjectNode json() {
      ObjectNode json = JsonMapper.shared().createObjectNode();
      return json.put("ask", ask).put("verdict", status.text()).put("measured", measured);
    }
  }

  static List<Verdict> judge(Findings findings) {
    List<Verdict> verdicts = new ArrayList<>();
    verdicts.add(
        bandwidth(findings, "synthetic:llama-3.2-1b:bf16, batch 1", DECODE, "llama-3.2-1b", 70));
    verdicts.add(transformers(findings));
    verdicts.add(
        bandwidth(findings, "synthetic:llama-3.1-8b:bf16, batch 1", DECODE, "llama-3.1-8b", 75));
    verdicts.add(
        bandwidth(
            findings,
            "paged decode attention, batch 32, context 4,096, 8 KV heads",
            ATTENTION,
            PAGED,
            85));
    verdicts.add(pages(findings));
    verdicts.add(bandwidth(findings, "W8A16, batch 1, 28672 x 8192", "linear_w8a16", WIDE, 85));
    verdicts.add(w8a8(findings, 4096));
    verdicts.add(w8a8(findings, 8192));
    verdicts.add(gap(findings, "llama-3.2-1b"));
    verdicts.add(gap(findings, "llama-3.1-8b"));
    return List.copyOf(verdicts);
  }

  private static Verdict bandwidth(
      Findings findings, String what, String bench, String shape, double percent) {
    String ask = "%s: at least %.0f %% of the measured read bandwidth".formatted(what, percent);
    Optional<Timing> row = findings.find(bench, shape, "lathe");
    if (row.isEmpty()) {
      return missing(ask, bench + " " + shape);
    }
    if (findings.readGbs().isEmpty()) {
      return missing(ask, "the bandwidth of reading");
    }
    OptionalDouble is = findings.percentOfBandwidth(row.get());
    return is.isEmpty()
        ? missing(ask, "the bytes of " + bench + " " + shape)
        : verdict(
            ask,
            is.getAsDouble() >= percent,
            "%.1f %% of %.0f GB/s, %.1f µs"
                .formatted(is.getAsDouble(), findings.readGbs().getAsDouble(), row.get().median()));
  }

  /**
   * Where transformers isn't installed, the same in plain PyTorch stands in, and the text says so.
   */
  private static Verdict transformers(Findings findings) {
    String ask =
        "synthetic:llama-3.2-1b:bf16, batch 1: at least 1.5 times transformers with static cache and"
            + " compile";
    Optional<Timing> ours = findings.find(DECODE, "llama-3.2-1b", "lathe");
    Optional<Timing> theirs = findings.find(TRANSFORMERS, "llama-3.2-1b", "torch");
    Optional<Timing> plain = findings.find(DECODE, "llama-3.2-1b", "torch");
    if (ours.isEmpty()) {
      return missing(ask, DECODE + " llama-3.2-1b");
    }
    if (theirs.isEmpty() && plain.isEmpty()) {
      return missing(ask, TRANSFORMERS + " llama-3.2-1b");
    }
    Timing peer = theirs.or(() -> plain).orElseThrow();
    double ratio = ours.get().ratioOf(peer);
    String who = theirs.isPresent() ? "transformers" : "plain PyTorch, for want of transformers";
    return verdict(ask, ratio >= 1.5, "%.2f times %s".formatted(ratio, who));
  }

  private static Verdict pages(Findings findings) {
    String ask = "paged decode attention: pages of 16 within 5 % of pages of 64";
    return both(
        ask,
        findings.find(ATTENTION, PAGED, "lathe"),
        findings.find(ATTENTION, PAGED, "lathe, pages of 64"),
        ATTENTION + " " + PAGED + " with both",
        (small, large) -> {
          double longer = 1 / small.ratioOf(large);
          return verdict(ask, longer <= 1.05, "%.3f times as long".formatted(longer));
        });
  }

  /** Against the faster of cuBLAS in turns with ours and of cuBLAS under PyTorch. */
  private static Verdict w8a8(Findings findings, int size) {
    String shape = "%d x %d x %d".formatted(size, size, size);
    String ask = "W8A8, %s: at least 1.2 times cuBLAS in BF16".formatted(shape);
    Optional<Timing> ours = findings.find("linear_w8a8", shape, "lathe");
    Optional<Timing> inTurns =
        ours.flatMap(row ->
            findings.timings().stream()
                .filter(t ->
                    t.bench().equals("linear_bf16")
                        && t.shape().equals(shape)
                        && t.side().equals("cublas")
                        && t.pairedWith(row))
                .findFirst());
    return both(
        ask,
        ours,
        inTurns,
        "linear_w8a8 and cuBLAS's linear_bf16 in turns, " + shape,
        (row, cublas) -> {
          double ratio = row.ratioOf(cublas);
          Optional<Double> torch = findings.find("linear_bf16", shape, "torch").map(row::ratioOf);
          return verdict(
              ask,
              Math.min(ratio, torch.orElse(ratio)) >= 1.2,
              "%.2f times cuBLAS%s"
                  .formatted(
                      ratio, torch.map(t -> ", %.2f times torch.matmul".formatted(t)).orElse("")));
        });
  }

  private static Verdict gap(Findings findings, String model) {
    String ask =
        "synthetic:%s:bf16: the host's gap between decode steps at most 3 %%".formatted(model);
    Double gap = findings.hostGapPercent().get(model);
    return gap == null
        ? missing(ask, "host_gap_percent of profile")
        : verdict(ask, gap <= 3, "%.2f %%".formatted(gap));
  }

  private interface Judge {
    Verdict of(Timing one, Timing other);
  }

  private static Verdict both(
      String ask, Optional<Timing> one, Optional<Timing> other, String what, Judge judge) {
    Function<Timing, Optional<Verdict>> with = a -> other.map(b -> judge.of(a, b));
    return one.flatMap(with).orElseGet(() -> missing(ask, what));
  }

  private static Verdict verdict(String ask, boolean met, String measured) {
    return new Verdict(ask, met ? Status.MET : Status.MISSED, measured);
  }

  private static Verdict missing(String ask, String what) {
    return new Verdict(ask, Status.NOT_MEASURED, "there is no " + what);
  }
}
