package dev.lathe.backend;

import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.ValueLayout;

/**
 * A row of numbers as {@link ActivationFormat#INT8} says, in plain Java: a token's activations, or
 * its key or value under one head in an INT8 cache.
 *
 * @param codes from -127 to 127; zeros where the scale is NaN
 * @param scale what a code is worth
 */
public record TokenQuantization(byte[] codes, float scale) {

  /** Whether a matrix is multiplied by such activations. */
  public static boolean isFor(Weight weight) {
    return weight instanceof Weight.Int8 int8 && int8.activations() == ActivationFormat.INT8;
  }

  /**
   * @param x [tokens, cols] F32 in the host's memory, rows may be strided
   */
  public static TokenQuantization of(Tensor x, long token) {
    float[] row = new float[Math.toIntExact(x.size(1))];
    for (int c = 0; c < row.length; c++) {
      row[c] =
          x.memory()
              .get(ValueLayout.JAVA_FLOAT_UNALIGNED, (token * x.rowStride() + c) * Float.BYTES);
    }
    return of(row);
  }

  /**
   * @param row what shares a scale: a token's activations, or its key or value under one head
   */
  public static TokenQuantization of(float[] row) {
    float largest = 0;
    for (float x : row) {
      largest = Math.max(largest, Math.abs(x)); // NaN wins
    }
    byte[] codes = new byte[row.length];
    if (!Float.isFinite(largest)) {
      return new TokenQuantization(codes, Float.NaN);
    }
    float base = Math.max(largest, ActivationFormat.LEAST_LARGEST);
    float inverse = ActivationFormat.MOST / base;
    for (int c = 0; c < row.length; c++) {
      codes[c] = (byte) Math.rint(row[c] * inverse);
    }
    return new TokenQuantization(codes, base / ActivationFormat.MOST);
  }
}
