package dev.lathe.compress;

import dev.lathe.backend.HostMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/** Makes the bitmap form of a matrix: bit {@code c % 8} of byte {@code c / 8} of a row. */
final class Bitmaps {
  private Bitmaps() {}

  static boolean isSet(MemorySegment bits, long rowStart, int col) {
    return (bits.get(ValueLayout.JAVA_BYTE, rowStart + col / 8) >> (col % 8) & 1) != 0;
  }

  /**
   * What the cut leaves of a matrix. The stored values stay what they are, bit for bit: floats of
   * their type, or codes with the scales and zero points that they had.
   *
   * @param rows of a plain matrix, INT8 with one scale a row, or bitmap
   */
  static Weight.Bitmap cut(FiniteRows rows, Selection.Cut cut, HostMemory memory) {
    Weight weight = rows.weight();
    int cols = Math.toIntExact(weight.cols());
    Tensor stored = stored(weight);
    long rowBytes = Math.ceilDiv(cols, 8L);
    Tensor bitmap = memory.tensor(DType.U8, weight.rows(), rowBytes);
    Tensor offsets = memory.tensor(DType.I64, weight.rows() + 1);
    Tensor values = memory.tensor(stored.dtype(), cut.kept());
    long bytes = stored.dtype().bytes();
    long equal = cut.equal();
    long next = 0;
    long inBitmap = 0;
    for (long r = 0; r < weight.rows(); r++) {
      double[] row = rows.read(r);
      for (int c = 0; c < cols; c++) {
        long at = r * stored.rowStride() + c;
        if (weight instanceof Weight.Bitmap before) {
          if (!isSet(before.bitmap().memory(), r * before.bitmap().rowStride(), c)) {
            continue;
          }
          at = inBitmap++;
        }
        if (cut.isAbove(row[c]) || (cut.isEqual(row[c]) && equal-- > 0)) {
          long word = r * rowBytes + c / 8;
          int old = bitmap.memory().get(ValueLayout.JAVA_BYTE, word);
          bitmap.memory().set(ValueLayout.JAVA_BYTE, word, (byte) (old | 1 << (c % 8)));
          MemorySegment.copy(stored.memory(), at * bytes, values.memory(), next++ * bytes, bytes);
        }
      }
      offsets.memory().set(ValueLayout.JAVA_LONG_UNALIGNED, (r + 1) * Long.BYTES, next);
    }
    if (next != cut.kept()) {
      throw new IllegalStateException("%d weights kept, not %d".formatted(next, cut.kept()));
    }
    return new Weight.Bitmap(cols, bitmap, offsets, values, scales(weight), zeroPoints(weight));
  }

  private static Tensor stored(Weight weight) {
    return switch (weight) {
      case Weight.Dense dense -> dense.values();
      case Weight.Int8 int8 -> int8.values();
      case Weight.Bitmap bitmap -> bitmap.values();
      case Weight.Stacked _ -> throw new IllegalArgumentException("a file has no stacked weights");
    };
  }

  static Optional<Tensor> scales(Weight weight) {
    return switch (weight) {
      case Weight.Int8 int8 -> Optional.of(int8.scales());
      case Weight.Bitmap bitmap -> bitmap.scales();
      default -> Optional.empty();
    };
  }

  static Optional<Tensor> zeroPoints(Weight weight) {
    return switch (weight) {
      case Weight.Int8 int8 -> int8.zeroPoints();
      case Weight.Bitmap bitmap -> bitmap.zeroPoints();
      default -> Optional.empty();
    };
  }

  static DType valueType(Weight weight) {
    return stored(weight).dtype();
  }
}
