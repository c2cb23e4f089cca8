package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Rows of numbers as a GGUF file stores them, rounded to nearest. */
final class GgufEncoder {
  private static final ValueLayout.OfShort F16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** The largest code of Q8_0. */
  private static final int LARGEST_CODE = 127;

  private static final float LARGEST_F16 = 65_504;

  private GgufEncoder() {}

  /**
   * Writes a row, and puts what a reader will find back into it.
   *
   * @param row the numbers; replaced by those that were stored
   * @throws InvalidInputException if a number is not finite, or too large for the type
   */
  static void encode(GgmlType type, double[] row, MemorySegment out, String where) {
    for (int c = 0; c < row.length; c++) {
      boolean fits = type != GgmlType.F16 || Math.abs(row[c]) <= LARGEST_F16;
      if (!Double.isFinite(row[c]) || !fits) {
        throw new InvalidInputException(
            "%s has %s in column %d, which %s cannot hold; bf16 and f32 hold all finite weights"
                .formatted(where, row[c], c, type));
      }
    }
    switch (type) {
      case F32 -> plain(DType.F32, row, out);
      case F16 -> plain(DType.F16, row, out);
      case BF16 -> plain(DType.BF16, row, out);
      case Q8_0 -> q8(row, out, where);
      case Q4_0, Q4_K, Q5_K, Q6_K ->
          throw new IllegalArgumentException(type + " is read, not written");
    }
  }

  private static void plain(DType dtype, double[] row, MemorySegment out) {
    for (int c = 0; c < row.length; c++) {
      Floats.set(out, dtype, c, (float) row[c]);
      row[c] = Floats.get(out, dtype, c);
    }
  }

  /** The F16 scale is rounded up and used as stored, so that no weight clips. */
  private static void q8(double[] row, MemorySegment out, String where) {
    int block = GgmlType.Q8_0.blockElements();
    for (int from = 0; from < row.length; from += block) {
      double largest = 0;
      for (int i = 0; i < block; i++) {
        largest = Math.max(largest, Math.abs(row[from + i]));
      }
      float scale = halfNotBelow(largest / LARGEST_CODE);
      if (Float.isInfinite(scale)) {
        throw new InvalidInputException(
            "%s has %s, which Q8_0 cannot hold; bf16 and f32 hold all finite weights"
                .formatted(where, largest));
      }
      long at = (long) from / block * GgmlType.Q8_0.blockBytes();
      out.set(F16, at, Float.floatToFloat16(scale));
      for (int i = 0; i < block; i++) {
        byte code = scale == 0 ? 0 : (byte) Math.rint(row[from + i] / scale);
        out.set(ValueLayout.JAVA_BYTE, at + 2 + i, code);
        row[from + i] = (double) code * scale;
      }
    }
  }

  /** The smallest F16 number that is not below a number. */
  private static float halfNotBelow(double value) {
    short bits = Float.floatToFloat16((float) value);
    return Float.float16ToFloat(bits) < value
        ? Float.float16ToFloat((short) (bits + 1))
        : Float.float16ToFloat(bits);
  }
}
