package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.tensor.Floats;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class Int8RowTest {

  private interface Quantizer {
    double code(Int8Row row, double weight);
  }

  @Test
  void symmetricByHand() {
    // max|w| = 127, so the scale is 1 and the codes are the weights, halves to even.
    double[] weights = {-127, 63.5, -63.5, 0.5, 1.5, -2.5, 0};
    Int8Row row = Int8Row.symmetric(weights, weights.length);
    assertThat(row).isEqualTo(new Int8Row(1, (byte) 0));
    assertThat(codes(row, weights)).containsExactly(-127, 64, -64, 0, 2, -2, 0);
  }

  @Test
  void scaleIsABf16RoundedUp() {
    // 1 / 127 = 0.00787402; steps of BF16 there are 2^-14, and 129.008 of them become 130.
    double[] weights = {1, -0.5};
    Int8Row row = Int8Row.symmetric(weights, 2);
    assertThat(row.scale()).isEqualTo(130 * 0x1p-14f);
    // 1 / 0.00793457 = 126.03 and half of that, 63.02
    assertThat(codes(row, weights)).containsExactly(126, -63);
  }

  @Test
  void asymmetricByHand() {
    // From -28 to 227 are 255 steps of 1; zero is the code -100.
    double[] weights = {-28, 227, 0, 0.5, 1.5, -27.6};
    Int8Row row = Int8Row.asymmetric(weights, weights.length);
    assertThat(row).isEqualTo(new Int8Row(1, (byte) -100));
    assertThat(codes(row, weights)).containsExactly(-128, 127, -100, -100, -98, -128);
  }

  @Test
  void rangeAlwaysHoldsZero() {
    // All positive: the range begins at 0, not at 100. All negative: it ends there.
    assertThat(Int8Row.asymmetric(new double[] {100, 255}, 2))
        .isEqualTo(new Int8Row(1, (byte) -128));
    assertThat(Int8Row.asymmetric(new double[] {-100, -255}, 2))
        .isEqualTo(new Int8Row(1, (byte) 127));
  }

  @Test
  void bothEndsBetweenTwoCodes() {
    double[] weights = {-1.5, 253.5};
    Int8Row row = Int8Row.asymmetric(weights, 2);
    assertThat(row).isEqualTo(new Int8Row(1, (byte) -126));
    assertThat(codes(row, weights)).containsExactly(-128, 127);
  }

  @Test
  void zerosGetScaleOne() {
    double[] zeros = new double[5];
    for (Int8Row row : new Int8Row[] {Int8Row.symmetric(zeros, 5), Int8Row.asymmetric(zeros, 5)}) {
      assertThat(row.scale()).isEqualTo(1);
      assertThat(value(row, row.quantize(0))).isZero();
    }
  }

  @Test
  void noWeightIsFurtherThanHalfAScale() {
    requireHalfAScale(Int8Row::quantize);
  }

  @Test
  void theBoundCatchesAQuantizerThatTruncates() {
    assertThatThrownBy(
            () -> requireHalfAScale((row, w) -> (byte) (w / row.scale()) + row.zeroPoint()))
        .isInstanceOf(AssertionError.class);
  }

  /** Over rows of every magnitude that F32 has, centred on zero and not. */
  private static void requireHalfAScale(Quantizer quantizer) {
    Random random = new Random(3);
    for (int exponent = -140; exponent <= 126; exponent++) {
      for (int n = 0; n < 20; n++) {
        double[] weights = new double[1 + random.nextInt(64)];
        double shift = random.nextInt(3) - 1;
        for (int i = 0; i < weights.length; i++) {
          weights[i] = (float) Math.scalb(random.nextDouble(-1, 1) + shift, exponent);
        }
        requireHalfAScale(Int8Row.symmetric(weights, weights.length), weights, quantizer);
        requireHalfAScale(Int8Row.asymmetric(weights, weights.length), weights, quantizer);
      }
    }
  }

  private static void requireHalfAScale(Int8Row row, double[] weights, Quantizer quantizer) {
    assertThat(Floats.fromBf16(Floats.toBf16(row.scale()))).isEqualTo(row.scale());
    assertThat(value(row, quantizer.code(row, 0))).isZero();
    for (double weight : weights) {
      double code = quantizer.code(row, weight);
      assertThat(code).isBetween(-128.0, 127.0);
      assertThat(Math.abs(value(row, code) - weight)).isLessThanOrEqualTo(row.scale() / 2.0);
    }
  }

  private static double value(Int8Row row, double code) {
    return (code - row.zeroPoint()) * row.scale();
  }

  private static int[] codes(Int8Row row, double... weights) {
    return java.util.Arrays.stream(weights).mapToInt(row::quantize).toArray();
  }
}
