package dev.lathe.optimize;

import dev.lathe.measure.Statistics.Interval;
import dev.lathe.report.Stage.Quality;
import java.util.Locale;
import java.util.Optional;

/**
 * Whether a technique is kept. Quality decides first; a model that is good enough must also be
 * smaller than the one before it, or faster by more than the repetitions scatter.
 */
final class Gate {
  /** The decision and the figures behind it, in words. */
  record Decision(boolean accepted, String reason) {}

  private Gate() {}

  /**
   * Whether the model is good enough; empty if so.
   *
   * @param quality measured against the baseline
   */
  static Optional<Decision> tooMuchLost(Quality quality, double maxLossPercent) {
    double loss = quality.lossPercent();
    // Written so that NaN is refused.
    return loss <= maxLossPercent
        ? Optional.empty()
        : Optional.of(
            new Decision(
                false,
                "perplexity %s%s where %s is allowed"
                    .formatted(change(loss), interval(quality), change(maxLossPercent))));
  }

  /**
   * Whether a model that is good enough is worth having.
   *
   * @param ratio of tokens/s, the candidate's over the incumbent's, measured in turns
   * @param clearlyFaster beyond what the repetitions scatter
   */
  static Decision worthHaving(
      Quality quality,
      double maxLossPercent,
      long bytes,
      long incumbentBytes,
      double ratio,
      boolean clearlyFaster) {
    String loss = change(quality.lossPercent());
    String size =
        bytes == incumbentBytes
            ? "as large as"
            : bytes < incumbentBytes
                ? "%.2f× smaller than".formatted((double) incumbentBytes / bytes)
                : "%.2f× larger than".formatted((double) bytes / incumbentBytes);
    String speed = "%.2f× its speed".formatted(ratio);
    return bytes < incumbentBytes || clearlyFaster
        ? new Decision(
            true,
            "perplexity %s%s of %s allowed; %s the model before it, at %s"
                .formatted(loss, interval(quality), change(maxLossPercent), size, speed))
        : new Decision(
            false,
            "neither smaller nor clearly faster: %s the model before it, at %s; perplexity %s"
                .formatted(size, speed, loss));
  }

  private static String interval(Quality quality) {
    Optional<Interval> ci = quality.lossPercentCi95();
    return ci.map(i -> " (95 %%: %s to %s)".formatted(change(i.low()), change(i.high())))
        .orElse("");
  }

  /** {@code +0.083 %}: fewer digits the larger it is. */
  static String change(double percent) {
    double size = Math.abs(percent);
    int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
    String sign = percent < 0 ? "−" : "+";
    return sign + String.format(Locale.ROOT, "%,." + decimals + "f %%", size);
  }
}
