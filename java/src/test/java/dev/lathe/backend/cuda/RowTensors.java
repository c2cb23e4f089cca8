package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;

/** Matrices and tables for the tests of kernels that go through rows. */
final class RowTensors {
  /** Around one, a vector, a warp, what a warp takes at once, and what a block does. */
  static final int[] COLS = {1, 3, 4, 7, 8, 31, 32, 33, 128, 172, 257, 1024, 1029};

  /** Unit roundoff of F32: half the distance from 1 to the next number. */
  static final double U = 0x1p-24;

  /** Below the smallest normal F32, hardware may flush to zero. */
  static final double TINY = 0x1p-126;

  final CudaBench bench;
  final SplittableRandom random;

  RowTensors(CudaBench bench, Object seed) {
    this.bench = bench;
    this.random = new SplittableRandom(seed.hashCode());
  }

  /** How far an element may be off. */
  interface Bound {
    double at(long row, long col);
  }

  Tensor normal(long... shape) {
    Tensor tensor = bench.host(DType.F32, shape);
    return fill(tensor);
  }

  private Tensor fill(Tensor tensor) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, (float) random.nextGaussian());
    }
    return tensor;
  }

  /**
   * On the device; shifted, one element behind the start of an allocation, so that no vector is
   * aligned.
   */
  Tensor up(Tensor host, boolean shifted) {
    if (!shifted) {
      return bench.up(host);
    }
    Tensor longer = bench.host(host.dtype(), host.elements() + 1);
    longer
        .memory()
        .asSlice(host.dtype().bytes(), host.bytes())
        .copyFrom(host.memory().asSlice(0, host.bytes()));
    return bench.up(longer).rows(1, host.elements() + 1).reshape(host.shape());
  }

  /** On the device, not written yet. */
  Tensor device(boolean shifted, long... shape) {
    return shifted
        ? bench
            .device(DType.F32, Tensor.elements(shape) + 1)
            .rows(1, Tensor.elements(shape) + 1)
            .reshape(shape)
        : bench.device(DType.F32, shape);
  }

  /** Each tensor of a weight in an allocation of its own. */
  Weight up(Weight weight, boolean shifted) {
    return switch (weight) {
      case Weight.Dense dense -> new Weight.Dense(up(dense.values(), shifted));
      case Weight.Int8 int8 ->
          new Weight.Int8(
              up(int8.values(), shifted),
              up(int8.scales(), shifted),
              int8.zeroPoints().map(zeros -> up(zeros, shifted)));
      case Weight.Bitmap bitmap ->
          new Weight.Bitmap(
              bitmap.cols(),
              up(bitmap.bitmap(), shifted),
              up(bitmap.rowOffsets(), shifted),
              up(bitmap.values(), shifted),
              bitmap.scales().map(scales -> up(scales, shifted)),
              bitmap.zeroPoints().map(zeros -> up(zeros, shifted)));
      case Weight.Stacked stacked ->
          new Weight.Stacked(stacked.parts().stream().map(part -> up(part, shifted)).toList());
    };
  }

  Weight dense(DType type, long rows, long cols) {
    return new Weight.Dense(fill(bench.host(type, rows, cols)));
  }

  Weight int8(DType scaleType, boolean asymmetric, long groupSize, long rows, long cols) {
    long groups = Math.ceilDiv(cols, groupSize);
    return new Weight.Int8(
        bytes(rows, cols),
        scales(scaleType, rows, groups),
        asymmetric ? Optional.of(bytes(rows, groups)) : Optional.empty());
  }

  /** The first row is full, the second empty, of the others so much is kept. */
  Weight bitmap(
      DType type, DType scaleType, boolean asymmetric, double density, long rows, long cols) {
    Tensor bitmap = bench.host(DType.U8, rows, Math.ceilDiv(cols, 8L));
    Tensor offsets = bench.host(DType.I64, rows + 1);
    List<Long> starts = new ArrayList<>(List.of(0L));
    long kept = 0;
    for (long r = 0; r < rows; r++) {
      for (long c = 0; c < cols; c++) {
        if (r == 0 || (r != 1 && random.nextDouble() < density)) {
          long at = r * bitmap.size(1) + c / 8;
          byte old = bitmap.memory().get(ValueLayout.JAVA_BYTE, at);
          bitmap.memory().set(ValueLayout.JAVA_BYTE, at, (byte) (old | 1 << (c % 8)));
          kept++;
        }
      }
      starts.add(kept);
    }
    for (int r = 0; r <= rows; r++) {
      offsets.memory().setAtIndex(ValueLayout.JAVA_LONG, r, starts.get(r));
    }
    boolean integers = type == DType.I8;
    return new Weight.Bitmap(
        cols,
        bitmap,
        offsets,
        integers ? bytes(kept) : fill(bench.host(type, kept)),
        integers ? Optional.of(scales(scaleType, rows, 1)) : Optional.empty(),
        asymmetric ? Optional.of(bytes(rows, 1)) : Optional.empty());
  }

  private Tensor bytes(long... shape) {
    Tensor tensor = bench.host(DType.I8, shape);
    for (long i = 0; i < tensor.elements(); i++) {
      tensor.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-128, 128));
    }
    return tensor;
  }

  private Tensor scales(DType type, long... shape) {
    Tensor tensor = bench.host(type, shape);
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), type, i, (float) random.nextDouble(0.002, 0.05));
    }
    return tensor;
  }

  static void assertClose(String what, Tensor actual, Tensor expected, Bound bound) {
    for (long r = 0; r < expected.size(0); r++) {
      for (long c = 0; c < expected.size(1); c++) {
        double is = CudaBench.at(actual, r * expected.size(1) + c);
        double should = CudaBench.at(expected, r * expected.size(1) + c);
        // Infinite is right only where it should be, and so is what is no number.
        boolean same = Double.compare(is, should) == 0;
        if (!same && !(Math.abs(is - should) <= bound.at(r, c))) {
          throw new AssertionError(
              "%s: [%d, %d] is %s, should be %s within %s"
                  .formatted(what, r, c, is, should, bound.at(r, c)));
        }
      }
    }
  }
}
