package dev.lathe.compress;

import dev.lathe.tensor.Floats;

/**
 * The numbers that a row becomes as INT8, {@code w = (q - zeroPoint) scale}, rounded to nearest (Wu
 * et al. 2020, arXiv 2004.09602, section 3).
 *
 * <p>The scale is what a BF16 can hold, rounded up, and the row is quantized against that: so the
 * largest weight does not clip, and no weight is further from its code than half a scale.
 *
 * @param scale exactly a BF16; 1 for a row of zeros
 * @param zeroPoint the code of zero, which is always exact; 0 where symmetric
 */
record Int8Row(float scale, byte zeroPoint) {

  /** {@code scale = max|w| / 127}. */
  static Int8Row symmetric(double[] weights, int count) {
    double largest = 0;
    for (int i = 0; i < count; i++) {
      largest = Math.max(largest, Math.abs(weights[i]));
    }
    return new Int8Row(scale(largest, 127), (byte) 0);
  }

  /** {@code scale = (max(0, w) - min(0, w)) / 255}; the least weight gets the code -128. */
  static Int8Row asymmetric(double[] weights, int count) {
    double least = 0;
    double largest = 0;
    for (int i = 0; i < count; i++) {
      least = Math.min(least, weights[i]);
      largest = Math.max(largest, weights[i]);
    }
    float scale = scale(largest - least, 255);
    return new Int8Row(scale, (byte) (-128 - Math.rint(least / scale)));
  }

  private static float scale(double range, int steps) {
    if (range == 0) {
      return 1;
    }
    float scale = (float) (range / steps);
    if ((double) scale * steps < range) {
      scale = Math.nextUp(scale);
    }
    return Floats.fromBf16(Floats.toBf16Up(scale));
  }

  /**
   * The code of a weight of the row, round half to even.
   *
   * <p>The clamp meets only a row whose both ends lie exactly between two codes of the asymmetric
   * form: then the last one goes down instead of up, as near as the other.
   */
  byte quantize(double weight) {
    double code = Math.rint(weight / scale) + zeroPoint;
    return (byte) Math.clamp(code, -128, 127);
  }
}
