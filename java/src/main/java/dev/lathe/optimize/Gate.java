package dev.lathe.optimize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.measure.Statistics.Interval;
import dev.lathe.report.Stage.Quality;
import java.util.Locale;
import java.util.Optional;

/**
 * Whether a technique is kept. Quality decides first; a model that is good enough must also be
 * smaller than the one before it, or faster by more than the repetitions scatter. Smaller are its
 * weights; or, where they are what they were, its keys and values.
 */
final class Gate {
  /** The decision and the figures behind it, in words. */
  record Decision(boolean accepted, String reason) {}

  /**
   * What a model takes.
   *
   * @param fileBytes of the weights file as written
   * @param tensorBytes of the tensors in it, without what its header takes: two tools write
   *     different headers for the same tensors
   * @param kvBytesPerToken of the KV-cache, on the backend of the run
   */
  record Size(long fileBytes, long tensorBytes, long kvBytesPerToken) {
    static Size of(Checkpoint model, long kvBytesPerToken) {
      long tensors = model.tensors().values().stream().mapToLong(TensorInfo::bytes).sum();
      return new Size(model.fileBytes(), tensors, kvBytesPerToken);
    }

    /**
     * By its weights, and where they are as large, by its keys and values: what these take follows
     * from how many tokens are kept, so that they are not added up.
     */
    boolean isSmallerThan(Size other) {
      return tensorBytes == other.tensorBytes
          ? kvBytesPerToken < other.kvBytesPerToken
          : fileBytes < other.fileBytes;
    }

    /** In words, before "the model before it" and behind it. */
    private String beside(Size other) {
      String weights =
          tensorBytes == other.tensorBytes || fileBytes == other.fileBytes
              ? "as large as"
              : ratio(fileBytes, other.fileBytes) + " than";
      String cache =
          kvBytesPerToken == other.kvBytesPerToken
              ? ""
              : ", KV-cache " + ratio(kvBytesPerToken, other.kvBytesPerToken);
      return weights + " the model before it" + cache;
    }

    private static String ratio(long bytes, long before) {
      return bytes < before
          ? "%.2f× smaller".formatted((double) before / bytes)
          : "%.2f× larger".formatted((double) bytes / before);
    }
  }

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
   * @param size of the candidate
   * @param ratio of tokens/s, the candidate's over the incumbent's, measured in turns
   * @param clearlyFaster beyond what the repetitions scatter
   */
  static Decision worthHaving(
      Quality quality,
      double maxLossPercent,
      Size size,
      Size incumbent,
      double ratio,
      boolean clearlyFaster) {
    String loss = change(quality.lossPercent());
    String beside = size.beside(incumbent);
    String speed = "%.2f× its speed".formatted(ratio);
    return size.isSmallerThan(incumbent) || clearlyFaster
        ? new Decision(
            true,
            "perplexity %s%s of %s allowed; %s, at %s"
                .formatted(loss, interval(quality), change(maxLossPercent), beside, speed))
        : new Decision(
            false,
            "neither smaller nor clearly faster: %s, at %s; perplexity %s"
                .formatted(beside, speed, loss));
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
