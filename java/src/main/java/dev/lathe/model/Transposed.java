package dev.lathe.model;

import dev.lathe.backend.HostMemory;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Transposition;
import dev.lathe.tensor.Weight;

/**
 * A copy of a matrix with rows and columns exchanged, for checkpoints that store [inputs, outputs].
 * Plain values keep their type. A compressed matrix becomes F32, because its scales belong to rows
 * that are columns now: it is smaller in the file only.
 */
final class Transposed {
  private Transposed() {}

  static Weight copy(Weight weight, HostMemory memory) {
    Tensor copy = memory.tensor(Transposition.dtype(weight), weight.cols(), weight.rows());
    Transposition.copy(weight, copy);
    return new Weight.Dense(copy);
  }
}
