package dev.lathe.measure;

import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalDouble;
import org.hipparchus.distribution.continuous.TDistribution;
import org.hipparchus.distribution.discrete.BinomialDistribution;

/** What is said of many values x[1] … x[n]. What too few values cannot say is absent. */
public final class Statistics {
  public static final double CONFIDENCE = 0.95;

  /** Values that a confidence level says the true figure lies between. */
  public record Interval(double low, double high) {}

  private Statistics() {}

  @Metric(name = "mean", unit = "as x", formula = "sum of x / n")
  public static double mean(double... x) {
    requireSome(x);
    return Arrays.stream(x).sum() / x.length;
  }

  @Metric(
      name = "standard deviation",
      unit = "as x",
      formula = "sqrt(sum of (x - mean)^2 / (n - 1)), for n >= 2")
  public static OptionalDouble standardDeviation(double... x) {
    requireSome(x);
    if (x.length < 2) {
      return OptionalDouble.empty();
    }
    double mean = mean(x);
    double squares = Arrays.stream(x).map(v -> (v - mean) * (v - mean)).sum();
    return OptionalDouble.of(Math.sqrt(squares / (x.length - 1)));
  }

  @Metric(name = "CV", unit = "1", formula = "standard deviation / mean")
  public static OptionalDouble coefficientOfVariation(double... x) {
    OptionalDouble deviation = standardDeviation(x);
    double mean = mean(x);
    return deviation.isEmpty() || mean == 0
        ? OptionalDouble.empty()
        : OptionalDouble.of(deviation.getAsDouble() / mean);
  }

  /**
   * Absent where fewer than one value in n can be expected beyond it: p90 wants 10 values, p95 20,
   * p99 100. A figure for fewer would be invented.
   *
   * @param percent in [0, 100]
   */
  @Metric(
      name = "percentile",
      unit = "as x",
      formula =
          "type 7 (Hyndman and Fan 1996): h = (n - 1) p / 100 + 1, x sorted;"
              + " x[floor h] + (h - floor h) (x[floor h + 1] - x[floor h]);"
              + " for p > 50 absent unless n >= 100 / (100 - p)")
  public static OptionalDouble percentile(double percent, double... x) {
    if (!(percent >= 0 && percent <= 100)) {
      throw new IllegalArgumentException("percentile " + percent + " is not in 0 to 100");
    }
    requireSome(x);
    if (percent > 50 && percent < 100 && x.length < Math.rint(1e6 * 100 / (100 - percent)) / 1e6) {
      return OptionalDouble.empty();
    }
    double[] sorted = x.clone();
    Arrays.sort(sorted);
    double at = (sorted.length - 1) * percent / 100;
    int below = (int) Math.floor(at);
    double low = sorted[below];
    double high = sorted[Math.min(below + 1, sorted.length - 1)];
    return OptionalDouble.of(low + (at - below) * (high - low));
  }

  @Metric(
      name = "median",
      unit = "as x",
      formula = "the 50th percentile: the middle value, or the mean of the two in the middle")
  public static double median(double... x) {
    return percentile(50, x).orElseThrow();
  }

  @Metric(
      name = "interval of the mean",
      unit = "as x",
      formula = "mean ± t(0.975, n - 1) * standard deviation / sqrt(n), 95 %, for n >= 2")
  public static Optional<Interval> meanInterval(double... x) {
    OptionalDouble deviation = standardDeviation(x);
    if (deviation.isEmpty()) {
      return Optional.empty();
    }
    double half = studentT(x.length - 1) * deviation.getAsDouble() / Math.sqrt(x.length);
    double mean = mean(x);
    return Optional.of(new Interval(mean - half, mean + half));
  }

  /** Distribution-free; fewer than six values have no such interval at 95 %. */
  @Metric(
      name = "interval of the median",
      unit = "as x",
      formula =
          "[x[k], x[n + 1 - k]], x sorted, k the largest with"
              + " P(Binomial(n, 1/2) <= k - 1) <= 0.025; 95 % or more, for n >= 6")
  public static Optional<Interval> medianInterval(double... x) {
    requireSome(x);
    BinomialDistribution below = new BinomialDistribution(x.length, 0.5);
    int k = 0;
    while (below.cumulativeProbability(k) <= (1 - CONFIDENCE) / 2) {
      k++;
    }
    if (k == 0) {
      return Optional.empty();
    }
    double[] sorted = x.clone();
    Arrays.sort(sorted);
    return Optional.of(new Interval(sorted[k - 1], sorted[x.length - k]));
  }

  /** The factor on a standard error that gives the 95 % interval's half width. */
  public static double studentT(int degreesOfFreedom) {
    return new TDistribution(degreesOfFreedom).inverseCumulativeProbability((1 + CONFIDENCE) / 2);
  }

  private static void requireSome(double... x) {
    if (x.length == 0) {
      throw new IllegalArgumentException("no values");
    }
    for (double value : x) {
      if (Double.isNaN(value)) {
        throw new IllegalArgumentException("NaN among the values " + Arrays.toString(x));
      }
    }
  }
}
