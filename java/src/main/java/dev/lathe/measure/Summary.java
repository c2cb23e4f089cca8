package dev.lathe.measure;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.lathe.measure.Statistics.Interval;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalDouble;

/** Many values in short, by {@link Statistics}. What too few values cannot say is left out. */
@JsonInclude(JsonInclude.Include.NON_ABSENT)
public record Summary(
    int n,
    double mean,
    OptionalDouble standardDeviation,
    OptionalDouble cv,
    double min,
    double max,
    double p50,
    OptionalDouble p90,
    OptionalDouble p95,
    OptionalDouble p99,
    Optional<Interval> meanCi95,
    Optional<Interval> p50Ci95) {

  /** Empty where there are no values. */
  public static Optional<Summary> of(double... x) {
    if (x.length == 0) {
      return Optional.empty();
    }
    return Optional.of(
        new Summary(
            x.length,
            Statistics.mean(x),
            Statistics.standardDeviation(x),
            Statistics.coefficientOfVariation(x),
            Arrays.stream(x).min().getAsDouble(),
            Arrays.stream(x).max().getAsDouble(),
            Statistics.median(x),
            Statistics.percentile(90, x),
            Statistics.percentile(95, x),
            Statistics.percentile(99, x),
            Statistics.meanInterval(x),
            Statistics.medianInterval(x)));
  }
}
