package dev.lathe.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * The rows of a weight as the numbers that they stand for, whatever the format. In double, because
 * a quantized value times an F32 scale has more digits than a float.
 */
public final class WeightRows {
  private WeightRows() {}

  /**
   * Row {@code row} of a weight on the host; exact in every format.
   *
   * @param out at least {@code weight.cols()} long; what follows is left alone
   */
  public static void read(Weight weight, long row, double[] out) {
    switch (weight) {
      case Weight.Dense dense -> readDense(dense, row, out);
      case Weight.Int8 int8 -> readInt8(int8, row, out);
      case Weight.Bitmap bitmap -> readBitmap(bitmap, row, out);
      case Weight.Stacked stacked -> {
        long rest = row;
        for (Weight part : stacked.parts()) {
          if (rest < part.rows()) {
            read(part, rest, out);
            return;
          }
          rest -= part.rows();
        }
        throw new IndexOutOfBoundsException("row %d of %d".formatted(row, stacked.rows()));
      }
    }
  }

  private static void readDense(Weight.Dense dense, long row, double[] out) {
    Tensor values = dense.values();
    long start = row * values.rowStride();
    int cols = Math.toIntExact(dense.cols());
    for (int c = 0; c < cols; c++) {
      out[c] = Floats.get(values.memory(), values.dtype(), start + c);
    }
  }

  private static void readInt8(Weight.Int8 int8, long row, double[] out) {
    MemorySegment values = int8.values().memory();
    long start = row * int8.values().rowStride();
    int groupSize = Math.toIntExact(int8.groupSize());
    int cols = Math.toIntExact(int8.cols());
    for (int from = 0; from < cols; from += groupSize) {
      double scale = at(int8.scales(), row, from / groupSize);
      int zeroPoint = zeroPoint(int8.zeroPoints(), row, from / groupSize);
      int to = Math.min(from + groupSize, cols);
      for (int c = from; c < to; c++) {
        out[c] = (values.get(ValueLayout.JAVA_BYTE, start + c) - zeroPoint) * scale;
      }
    }
  }

  private static void readBitmap(Weight.Bitmap weight, long row, double[] out) {
    MemorySegment bits = weight.bitmap().memory();
    long rowStart = row * weight.bitmap().rowStride();
    long next = weight.rowOffsets().memory().get(ValueLayout.JAVA_LONG_UNALIGNED, row * 8);
    double scale = weight.scales().isPresent() ? at(weight.scales().get(), row, 0) : 1;
    int zeroPoint = zeroPoint(weight.zeroPoints(), row, 0);
    int cols = Math.toIntExact(weight.cols());
    for (int c = 0; c < cols; c++) {
      boolean kept = (bits.get(ValueLayout.JAVA_BYTE, rowStart + c / 8) >> (c % 8) & 1) != 0;
      out[c] = kept ? (element(weight.values(), next++) - zeroPoint) * scale : 0;
    }
  }

  private static double at(Tensor matrix, long row, long col) {
    return element(matrix, row * matrix.rowStride() + col);
  }

  private static double element(Tensor tensor, long index) {
    return Floats.get(tensor.memory(), tensor.dtype(), index);
  }

  private static int zeroPoint(Optional<Tensor> zeroPoints, long row, long group) {
    return zeroPoints
        .map(tensor ->
            (int) tensor.memory().get(ValueLayout.JAVA_BYTE, row * tensor.rowStride() + group))
        .orElse(0);
  }
}
