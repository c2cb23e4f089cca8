package dev.lathe.model;

import dev.lathe.backend.HostMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;

/**
 * A copy of a matrix with rows and columns exchanged, for checkpoints that store [inputs, outputs].
 * Plain values keep their type. A compressed matrix becomes F32, because its scales belong to rows
 * that are columns now: it is smaller in the file only.
 */
final class Transposed {
  private Transposed() {}

  static Weight copy(Weight weight, HostMemory memory) {
    DType dtype = weight instanceof Weight.Dense dense ? dense.values().dtype() : DType.F32;
    Tensor copy = memory.tensor(dtype, weight.cols(), weight.rows());
    double[] row = new double[Math.toIntExact(weight.cols())];
    for (long r = 0; r < weight.rows(); r++) {
      WeightRows.read(weight, r, row);
      for (int c = 0; c < row.length; c++) {
        Floats.set(copy.memory(), dtype, c * weight.rows() + r, (float) row[c]);
      }
    }
    return new Weight.Dense(copy);
  }
}
