package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class ExponentialTest {
  /** Rounding the result to F32, and what the polynomial leaves: half a unit each. */
  private static final double TOLERANCE = 0x1p-24 * 2;

  @Test
  void isTheExponentialToTheLastBitOfAFloat() {
    double worst = 0;
    for (int i = -87_000; i <= 87_000; i++) {
      float x = i / 1000f;
      worst = Math.max(worst, Math.abs(Exponential.of(x) / Math.exp(x) - 1));
    }
    assertThat(worst).isLessThan(TOLERANCE).isPositive();
    assertThat(Exponential.of(0)).isEqualTo(1);
  }

  @Test
  void beyondTheRangeOfFloatsItStaysFinite() {
    assertThat(Exponential.of(-1e30f)).isBetween(0f, 1e-37f);
    assertThat(Exponential.of(1e30f)).isFinite().isGreaterThan(1e38f);
    assertThat(Exponential.of(Float.NaN)).isNaN();
  }

  @Test
  void loopsGiveWhatOneValueGives() {
    float[] values = {7, 1, -2, 0.5f, 9};
    Exponential.shifted(values, 1, 4, 0.25f);
    assertThat(values)
        .containsExactly(
            7, Exponential.of(0.75f), Exponential.of(-2.25f), Exponential.of(0.25f), 9);
    float[] out = new float[4];
    Exponential.ofNegated(new float[] {0, 3, -4}, 1, out, 2, 2);
    assertThat(out).containsExactly(0, 0, Exponential.of(-3), Exponential.of(4));
  }
}
