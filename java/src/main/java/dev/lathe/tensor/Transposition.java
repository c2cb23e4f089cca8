package dev.lathe.tensor;

/** Rows and columns exchanged. */
public final class Transposition {
  private Transposition() {}

  /**
   * Copies a matrix into a plain one in which its columns are rows.
   *
   * @param to [weight.cols(), weight.rows()], of a floating type that values are rounded to
   */
  public static void copy(Weight weight, Tensor to) {
    if (to.rank() != 2 || to.size(0) != weight.cols() || to.size(1) != weight.rows()) {
      throw new IllegalArgumentException(
          "%s cannot take [%d, %d] transposed".formatted(to, weight.rows(), weight.cols()));
    }
    double[] row = new double[Math.toIntExact(weight.cols())];
    for (long r = 0; r < weight.rows(); r++) {
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
