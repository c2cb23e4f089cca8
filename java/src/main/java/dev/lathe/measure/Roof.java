package dev.lathe.measure;

import dev.lathe.backend.Ceilings;
import dev.lathe.measure.Profile.Operation;
import java.util.List;

/** The ceilings of work whose parts multiply with different units. */
final class Roof {
  private Roof() {}

  /**
   * As if the parts ran one after another, each at its own peak: {@code sum of flops / sum of
   * (flops / peak)}.
   */
  static Ceilings of(List<Operation> ops, Ceilings ceilings) {
    long flops = ops.stream().mapToLong(Operation::flops).sum();
    long kinds = ops.stream().mapToDouble(Operation::roofGflops).distinct().count();
    if (flops == 0 || kinds == 0) {
      return ceilings;
    }
    if (kinds == 1) {
      return ceilings.withPeak(ops.getFirst().roofGflops());
    }
    double nanos = ops.stream().mapToDouble(op -> op.flops() / op.roofGflops()).sum();
    return ceilings.withPeak(flops / nanos);
  }
}
