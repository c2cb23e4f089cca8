package dev.lathe.compress;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;

/**
 * The rows of one matrix as numbers; one that is NaN or infinite is refused, for nothing that a
 * technique computes from it would mean anything.
 */
final class FiniteRows {
  private final String where;
  private final String tensor;
  private final Weight weight;
  private final double[] row;

  FiniteRows(String where, String module, Weight weight) {
    this.where = where;
    this.tensor = module + (weight instanceof Weight.Bitmap ? ".weight_values" : ".weight");
    this.weight = weight;
    this.row = new double[Math.toIntExact(weight.cols())];
  }

  static FiniteRows of(Checkpoint checkpoint, String module) {
    return new FiniteRows(checkpoint.path().toString(), module, checkpoint.weight(module));
  }

  Weight weight() {
    return weight;
  }

  /** Valid until the next call. */
  double[] read(long index) {
    WeightRows.read(weight, index, row);
    for (int c = 0; c < row.length; c++) {
      if (!Double.isFinite(row[c])) {
        throw new InvalidInputException(
            "%s: tensor %s is %s at row %d, column %d; weights must be finite numbers"
                .formatted(where, tensor, Double.isNaN(row[c]) ? "NaN" : "infinite", index, c));
      }
    }
    return row;
  }
}
