package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.measure.Statistics.Interval;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.hipparchus.stat.descriptive.rank.Percentile;
import org.junit.jupiter.api.Test;

class StatisticsTest {
  private static final double[] X = {2, 4, 4, 4, 5, 5, 7, 9};

  @Test
  void meanAndSpreadByHand() {
    assertThat(Statistics.mean(X)).isEqualTo(5);
    // Squares of the deviations: 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 7.
    assertThat(Statistics.standardDeviation(X).getAsDouble())
        .isEqualTo(Math.sqrt(32 / 7.0), within(1e-12));
    assertThat(Statistics.coefficientOfVariation(X).getAsDouble())
        .isEqualTo(Math.sqrt(32 / 7.0) / 5, within(1e-12));
    assertThat(Statistics.standardDeviation(3)).isEmpty();
  }

  @Test
  void percentilesAreOfType7() {
    assertThat(Statistics.percentile(0, X)).hasValue(2);
    assertThat(Statistics.percentile(25, X)).hasValue(4);
    assertThat(Statistics.median(X)).isEqualTo(4.5);
    assertThat(Statistics.percentile(100, X)).hasValue(9);
    double[] many = new SplittableRandom(3).doubles(257, 0, 100).toArray();
    Percentile other = new Percentile().withEstimationType(Percentile.EstimationType.R_7);
    for (double p : new double[] {1, 10, 50, 90, 95, 99}) {
      assertThat(Statistics.percentile(p, many).getAsDouble())
          .as("p%s", p)
          .isEqualTo(other.evaluate(many, p), within(1e-9));
    }
  }

  @Test
  void percentilesThatTooFewValuesCannotSayAreAbsent() {
    double[] hundred = IntStream.rangeClosed(1, 100).asDoubleStream().toArray();
    double[] fewer = Arrays.copyOf(hundred, 99);
    assertThat(Statistics.percentile(99, hundred).getAsDouble()).isEqualTo(99.01, within(1e-9));
    assertThat(Statistics.percentile(99, fewer)).isEmpty();
    assertThat(Statistics.percentile(95, Arrays.copyOf(hundred, 20))).isPresent();
    assertThat(Statistics.percentile(95, Arrays.copyOf(hundred, 19))).isEmpty();
    assertThat(Statistics.percentile(90, Arrays.copyOf(hundred, 10))).isPresent();
    assertThat(Statistics.percentile(90, Arrays.copyOf(hundred, 9))).isEmpty();
    assertThat(Statistics.percentile(99.9, hundred)).isEmpty();
    assertThat(Statistics.percentile(50, 7)).hasValue(7);
  }

  @Test
  void intervalOfTheMeanByTable() {
    // t(0.975, 7) = 2.364624 in every table.
    double half = 2.364624 * Math.sqrt(32 / 7.0) / Math.sqrt(8);
    Interval interval = Statistics.meanInterval(X).orElseThrow();
    assertThat(interval.low()).isEqualTo(5 - half, within(1e-5));
    assertThat(interval.high()).isEqualTo(5 + half, within(1e-5));
    assertThat(Statistics.meanInterval(1)).isEmpty();
  }

  @Test
  void intervalOfTheMedianByTable() {
    // The known ranks for 95 %: n = 6: 1 and 6; n = 10: 2 and 9; n = 20: 6 and 15; n = 50: 18, 33.
    int[][] ranks = {{6, 1, 6}, {10, 2, 9}, {20, 6, 15}, {50, 18, 33}};
    for (int[] r : ranks) {
      double[] x = IntStream.rangeClosed(1, r[0]).asDoubleStream().toArray();
      assertThat(Statistics.medianInterval(x))
          .as("n = %s", r[0])
          .contains(new Interval(r[1], r[2]));
    }
    assertThat(Statistics.medianInterval(1, 2, 3, 4, 5)).isEmpty();
  }

  @Test
  void intervalsHoldTheTruthAsOftenAsTheySay() {
    SplittableRandom random = new SplittableRandom(11);
    int mean = 0;
    int median = 0;
    int rounds = 4000;
    for (int i = 0; i < rounds; i++) {
      double[] x = new double[25];
      Arrays.setAll(x, j -> random.nextGaussian());
      Interval ofMean = Statistics.meanInterval(x).orElseThrow();
      Interval ofMedian = Statistics.medianInterval(x).orElseThrow();
      mean += ofMean.low() <= 0 && 0 <= ofMean.high() ? 1 : 0;
      median += ofMedian.low() <= 0 && 0 <= ofMedian.high() ? 1 : 0;
    }
    // Of 4000 rounds at 95 %, the share scatters by 0.35 %; four times that is allowed. The
    // median's
    // ranks are whole numbers, so its true cover is a little above: 95.7 % for n = 25.
    assertThat(100.0 * mean / rounds).isBetween(93.6, 96.4);
    assertThat(100.0 * median / rounds).isBetween(94.3, 97.1);
  }

  @Test
  void nothingAndNanAreErrors() {
    assertThatThrownBy(() -> Statistics.mean()).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Statistics.median(1, Double.NaN))
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(Summary.of()).isEmpty();
  }

  @Test
  void aSummaryLeavesOutWhatItCannotSay() {
    String json = RunJson.line(Summary.of(X).orElseThrow());
    assertThat(json).contains("\"p50\":4.5").contains("\"n\":8").doesNotContain("p90");
    assertThat(json).contains("\"p50_ci95\":{\"low\":2.0,\"high\":9.0}");
  }
}
