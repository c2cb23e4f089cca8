package dev.lathe.compress;

import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;

/** How far a matrix is from what it was. */
final class RelativeError {
  private RelativeError() {}

  /** {@code ||w - w'|| / ||w||}, Frobenius norms in double, row by row; 0 where w is 0. */
  static double of(Weight before, Weight after) {
    double[] old = new double[Math.toIntExact(before.cols())];
    double[] now = new double[old.length];
    double difference = 0;
    double norm = 0;
    for (long r = 0; r < before.rows(); r++) {
      WeightRows.read(before, r, old);
      WeightRows.read(after, r, now);
      for (int c = 0; c < old.length; c++) {
        difference += (old[c] - now[c]) * (old[c] - now[c]);
        norm += old[c] * old[c];
      }
    }
    return norm == 0 ? 0 : Math.sqrt(difference / norm);
  }
}
