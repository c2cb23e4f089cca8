package dev.lathe.report;

import dev.lathe.measure.Statistics.Interval;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;

/**
 * One stage of a run. Everything is cumulative: it describes the model with this stage on top of
 * the stages accepted before it. What was not measured is absent, never 0.
 *
 * @param name {@code baseline}, {@code quantize-w8a16}, {@code kv-cache}, {@code batch-8}
 * @param kind what the stage changes
 * @param what the technique with its parameters, in words
 * @param reason why it was accepted or rejected, with the figures that decided
 * @param bytes of the weights file as written
 * @param compression bytes of all parameters as F32 over {@code bytes}
 * @param residentBytes what the weights take on the device
 * @param kvBytesPerToken what a token takes of the KV-cache on the backend of the run
 * @param tokensPerSecond generated tokens of all sequences over the whole time, first token
 *     included; median of the repetitions
 * @param tokensPerSecondLow the slowest repetition
 * @param tokensPerSecondHigh the fastest repetition
 * @param sequences generated side by side
 * @param cached whether keys and values were kept between tokens
 * @param ttftMs median time to the first token
 * @param tpotMs median over the sequences of the time per output token after the first
 * @param baselineTokensPerSecond the baseline's, measured again in turns with this stage: a machine
 *     is not equally fast all the time
 * @param speedup {@code tokensPerSecond} over {@code baselineTokensPerSecond}
 * @param ownSpeedup tokens/s over those of the stages accepted before, measured in turns too; of a
 *     batch, over one sequence of it alone
 * @param latency of single tokens
 * @param layers what the technique did to each matrix
 * @param training what was trained meanwhile
 */
public record Stage(
    String name,
    Kind kind,
    String what,
    boolean accepted,
    String reason,
    long bytes,
    double compression,
    OptionalLong residentBytes,
    OptionalLong kvBytesPerToken,
    Optional<Quality> quality,
    OptionalDouble tokensPerSecond,
    OptionalDouble tokensPerSecondLow,
    OptionalDouble tokensPerSecondHigh,
    int sequences,
    boolean cached,
    OptionalDouble ttftMs,
    OptionalDouble tpotMs,
    OptionalDouble baselineTokensPerSecond,
    OptionalDouble speedup,
    OptionalDouble ownSpeedup,
    Optional<Latency> latency,
    List<Layer> layers,
    Optional<Training> training) {
  public Stage {
    layers = List.copyOf(layers);
  }

  /** A stage that trains nothing. */
  public Stage(
      String name,
      Kind kind,
      String what,
      boolean accepted,
      String reason,
      long bytes,
      double compression,
      OptionalLong residentBytes,
      OptionalLong kvBytesPerToken,
      Optional<Quality> quality,
      OptionalDouble tokensPerSecond,
      OptionalDouble tokensPerSecondLow,
      OptionalDouble tokensPerSecondHigh,
      int sequences,
      boolean cached,
      OptionalDouble ttftMs,
      OptionalDouble tpotMs,
      OptionalDouble baselineTokensPerSecond,
      OptionalDouble speedup,
      OptionalDouble ownSpeedup,
      Optional<Latency> latency,
      List<Layer> layers) {
    this(
        name,
        kind,
        what,
        accepted,
        reason,
        bytes,
        compression,
        residentBytes,
        kvBytesPerToken,
        quality,
        tokensPerSecond,
        tokensPerSecondLow,
        tokensPerSecondHigh,
        sequences,
        cached,
        ttftMs,
        tpotMs,
        baselineTokensPerSecond,
        speedup,
        ownSpeedup,
        latency,
        layers,
        Optional.empty());
  }

  /** The same with what was trained. */
  public Stage with(Training trained) {
    return new Stage(
        name,
        kind,
        what,
        accepted,
        reason,
        bytes,
        compression,
        residentBytes,
        kvBytesPerToken,
        quality,
        tokensPerSecond,
        tokensPerSecondLow,
        tokensPerSecondHigh,
        sequences,
        cached,
        ttftMs,
        tpotMs,
        baselineTokensPerSecond,
        speedup,
        ownSpeedup,
        latency,
        layers,
        Optional.of(trained));
  }

  public enum Kind {
    BASELINE,
    TECHNIQUE,
    KV_CACHE,
    BATCH
  }

  /**
   * @param lossPercent {@code 100 (perplexity / baseline perplexity - 1)}; negative where better
   * @param perplexityStandardError perplexity times the standard error of the mean NLL over
   *     documents; absent for fewer than two documents
   * @param lossPercentCi95 of the paired differences over documents
   * @param klMean mean over positions of KL(baseline || this), nats; absent for the baseline
   * @param top1Agreement share of positions where both put the same token first; absent for the
   *     baseline
   * @param tokens scored tokens
   */
  public record Quality(
      double perplexity,
      OptionalDouble perplexityStandardError,
      double lossPercent,
      Optional<Interval> lossPercentCi95,
      OptionalDouble klMean,
      OptionalDouble top1Agreement,
      long tokens) {}

  /**
   * Times between tokens (ITL), pooled over sequences and repetitions. A percentile that there are
   * too few tokens for is absent.
   *
   * @param quantiles the distribution from the shortest (0) to the longest (1)
   */
  public record Latency(
      OptionalDouble p50,
      OptionalDouble p90,
      OptionalDouble p95,
      OptionalDouble p99,
      long samples,
      List<Quantile> quantiles) {
    public Latency {
      quantiles = List.copyOf(quantiles);
    }
  }

  public record Quantile(double q, double ms) {}

  /**
   * @param relativeError {@code ||after - before|| / ||before||}, Frobenius
   * @param sparsity share of weights that are zero afterwards
   */
  public record Layer(
      String name,
      String format,
      long bytesBefore,
      long bytesAfter,
      double relativeError,
      double sparsity) {}

  /**
   * What a stage that trains cost and did.
   *
   * @param text what it learnt from, in words
   * @param tokens that the steps learnt from, some more than once
   * @param seconds that the steps took
   * @param lossBefore nats a token of the model before this stage, over a part of the training text
   *     that is not trained on
   * @param lossAfter the same after it
   * @param controlLossPercent loss, as of {@link Quality}, of the same training without pruning:
   *     what the training alone gains; absent where the recipe did not ask for it
   */
  public record Training(
      String text,
      int steps,
      long tokens,
      double seconds,
      double lossBefore,
      double lossAfter,
      OptionalDouble controlLossPercent) {}
}
