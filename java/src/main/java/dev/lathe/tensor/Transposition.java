package dev.lathe.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.stream.LongStream;

/** Rows and columns exchanged. */
public final class Transposition {
  /** A square of so many values stays in the nearest cache, read by rows and written by columns. */
  private static final long TILE = 64;

  private Transposition() {}

  /**
   * Copies a matrix into a plain one in which its columns are rows, with all processors.
   *
   * @param weight in memory that all threads may read
   * @param to [weight.cols(), weight.rows()], contiguous, of a floating type that values are
   *     rounded to, in memory that all threads may write
   */
  public static void copy(Weight weight, Tensor to) {
    if (to.rank() != 2 || to.size(0) != weight.cols() || to.size(1) != weight.rows()) {
      throw new IllegalArgumentException(
          "%s cannot take [%d, %d] transposed".formatted(to, weight.rows(), weight.cols()));
    }
    if (weight instanceof Weight.Dense dense && dense.values().dtype() == to.dtype()) {
      LongStream.range(0, Math.ceilDiv(weight.cols(), TILE))
          .parallel()
          .forEach(tile -> plain(dense.values(), to, tile * TILE));
      return;
    }
    LongStream.range(0, Math.ceilDiv(weight.rows(), TILE))
        .parallel()
        .forEach(tile -> decoded(weight, to, tile * TILE));
  }

  /** Some columns, as bits. */
  private static void plain(Tensor from, Tensor to, long firstColumn) {
    long rows = from.size(0);
    long lastColumn = Math.min(firstColumn + TILE, from.size(1));
    MemorySegment in = from.memory();
    MemorySegment out = to.memory();
    boolean wide = to.dtype().bytes() == Integer.BYTES;
    for (long firstRow = 0; firstRow < rows; firstRow += TILE) {
      long lastRow = Math.min(firstRow + TILE, rows);
      for (long c = firstColumn; c < lastColumn; c++) {
        for (long r = firstRow; r < lastRow; r++) {
          long source = r * from.rowStride() + c;
          long target = c * rows + r;
          if (wide) {
            int bits = in.get(ValueLayout.JAVA_INT_UNALIGNED, 4 * source);
            out.set(ValueLayout.JAVA_INT_UNALIGNED, 4 * target, bits);
          } else {
            short bits = in.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * source);
            out.set(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * target, bits);
          }
        }
      }
    }
  }

  /** Some rows of any format, as numbers. */
  private static void decoded(Weight weight, Tensor to, long firstRow) {
    double[] row = new double[Math.toIntExact(weight.cols())];
    long lastRow = Math.min(firstRow + TILE, weight.rows());
    for (long r = firstRow; r < lastRow; r++) {
      WeightRows.read(weight, r, row);
      for (int c = 0; c < row.length; c++) {
        Floats.set(to.memory(), to.dtype(), c * weight.rows() + r, (float) row[c]);
      }
    }
  }

  /** The type that keeps a weight's values: its own where they are plain, else F32. */
  public static DType dtype(Weight weight) {
    return weight instanceof Weight.Dense dense ? dense.values().dtype() : DType.F32;
  }
}
