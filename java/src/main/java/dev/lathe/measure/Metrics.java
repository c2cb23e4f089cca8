package dev.lathe.measure;

import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.DoubleStream;

/**
 * Every latency and throughput figure, as a pure function of samples. Times of a sample: {@code
 * sent}, then {@code t[1] … t[n]}, when each of its n output tokens was there.
 *
 * <p>Only completed requests count; {@link #failures} says how many did not.
 */
public final class Metrics {
  private static final double NANOS_PER_MILLI = 1e6;
  private static final double NANOS_PER_SECOND = 1e9;

  private Metrics() {}

  @Metric(name = "TTFT", unit = "ms", formula = "t[1] - sent")
  public static double timeToFirstTokenMillis(Sample sample) {
    requireCompleted(sample);
    return (sample.firstTokenNanos() - sample.sentNanos()) / NANOS_PER_MILLI;
  }

  /** Empty for a request of one token: it has no gap. */
  @Metric(
      name = "TPOT",
      unit = "ms",
      formula = "(t[n] - t[1]) / (n - 1), per request, for n >= 2; excludes the first token")
  public static OptionalDouble timePerOutputTokenMillis(Sample sample) {
    requireCompleted(sample);
    int n = sample.outputTokens();
    return n < 2
        ? OptionalDouble.empty()
        : OptionalDouble.of(
            (sample.lastTokenNanos() - sample.firstTokenNanos()) / NANOS_PER_MILLI / (n - 1));
  }

  @Metric(
      name = "ITL",
      unit = "ms",
      formula = "t[i] - t[i-1] for i = 2 … n; pooled over requests, so long ones weigh more")
  public static double[] interTokenMillis(Sample sample) {
    requireCompleted(sample);
    long[] t = sample.tokenNanos();
    double[] gaps = new double[t.length - 1];
    for (int i = 0; i < gaps.length; i++) {
      gaps[i] = (t[i + 1] - t[i]) / NANOS_PER_MILLI;
    }
    return gaps;
  }

  @Metric(name = "end-to-end latency", unit = "ms", formula = "t[n] - sent")
  public static double endToEndMillis(Sample sample) {
    requireCompleted(sample);
    return (sample.lastTokenNanos() - sample.sentNanos()) / NANOS_PER_MILLI;
  }

  /** Absent where no time passed. */
  @Metric(
      name = "output tokens/s",
      unit = "tokens/s",
      formula = "sum of n over requests / (last t[n] - first sent); prompt tokens not counted")
  public static OptionalDouble outputTokensPerSecond(List<Sample> samples) {
    return perSecond(completed(samples).stream().mapToLong(Sample::outputTokens).sum(), samples);
  }

  @Metric(
      name = "total tokens/s",
      unit = "tokens/s",
      formula = "sum of (prompt tokens + n) over requests / (last t[n] - first sent)")
  public static OptionalDouble totalTokensPerSecond(List<Sample> samples) {
    return perSecond(
        completed(samples).stream().mapToLong(s -> s.promptTokens() + s.outputTokens()).sum(),
        samples);
  }

  @Metric(
      name = "QPS",
      unit = "requests/s",
      formula = "completed requests / (last t[n] - first sent)")
  public static OptionalDouble requestsPerSecond(List<Sample> samples) {
    return perSecond(completed(samples).size(), samples);
  }

  @Metric(
      name = "span",
      unit = "s",
      formula = "last t[n] - first sent, over the completed requests that ran together")
  public static double spanSeconds(List<Sample> samples) {
    List<Sample> completed = completed(samples);
    long first = completed.stream().mapToLong(Sample::sentNanos).min().orElse(0);
    long last = completed.stream().mapToLong(Sample::lastTokenNanos).max().orElse(0);
    return (last - first) / NANOS_PER_SECOND;
  }

  @Metric(name = "failures", unit = "requests", formula = "requests that did not complete")
  public static int failures(List<Sample> samples) {
    return samples.size() - completed(samples).size();
  }

  /** TTFT of each completed request. */
  public static double[] timesToFirstTokenMillis(List<Sample> samples) {
    return completed(samples).stream().mapToDouble(Metrics::timeToFirstTokenMillis).toArray();
  }

  /** TPOT of each completed request of two tokens or more. */
  public static double[] timesPerOutputTokenMillis(List<Sample> samples) {
    return completed(samples).stream()
        .map(Metrics::timePerOutputTokenMillis)
        .flatMapToDouble(OptionalDouble::stream)
        .toArray();
  }

  /** All gaps between tokens, request by request. */
  public static double[] interTokenMillis(List<Sample> samples) {
    return completed(samples).stream()
        .flatMapToDouble(s -> DoubleStream.of(interTokenMillis(s)))
        .toArray();
  }

  /** End-to-end latency of each completed request. */
  public static double[] endToEndMillis(List<Sample> samples) {
    return completed(samples).stream().mapToDouble(Metrics::endToEndMillis).toArray();
  }

  public static List<Sample> completed(List<Sample> samples) {
    return samples.stream().filter(s -> s.outcome() == Outcome.COMPLETED).toList();
  }

  private static OptionalDouble perSecond(long count, List<Sample> samples) {
    double seconds = spanSeconds(samples);
    return seconds > 0 ? OptionalDouble.of(count / seconds) : OptionalDouble.empty();
  }

  private static void requireCompleted(Sample sample) {
    if (sample.outcome() != Outcome.COMPLETED) {
      throw new IllegalArgumentException(
          "only completed requests have latencies: "
              + sample.outcome()
              + " after "
              + Arrays.toString(sample.tokenNanos()));
    }
  }
}
