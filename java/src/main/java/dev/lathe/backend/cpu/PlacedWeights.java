package dev.lathe.backend.cpu;

import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.util.IdentityHashMap;

/**
 * Where the kernels find a weight: its descriptor, by the identity of what {@code place} returned.
 */
final class PlacedWeights implements AutoCloseable {
  /**
   * @param address of the descriptor
   * @param elements of the weight
   * @param copiedBytes of what was laid out anew for it
   * @param divided a stack that is multiplied part by part
   */
  record Placed(long address, long elements, long copiedBytes, boolean divided) {}

  private final IdentityHashMap<Weight, Placed> known = new IdentityHashMap<>();

  /** Of weights that no memory owns. */
  private final Arena others = Arena.ofShared();

  /**
   * Describes a weight in a memory, once.
   *
   * @param multiplied whether products are asked for, not only rows
   */
  void place(Weight weight, boolean multiplied, CpuMemory memory) {
    if (known.containsKey(weight)) {
      return;
    }
    Placed placed = describe(weight, multiplied, memory.descriptors());
    memory.owns(weight, placed.copiedBytes);
    if (placed.divided) {
      ((Weight.Stacked) weight).parts().forEach(part -> place(part, true, memory));
    }
  }

  /** A weight that was not placed, such as a part of a stack, is described when it is first met. */
  Placed of(Weight weight) {
    Placed placed = known.get(weight);
    return placed != null ? placed : describe(weight, true, others);
  }

  private Placed describe(Weight weight, boolean multiplied, Arena arena) {
    NativeWeights.Described described = NativeWeights.describe(weight, multiplied, arena);
    Placed placed =
        new Placed(
            described.address(),
            weight.rows() * weight.cols(),
            described.copiedBytes(),
            described.divided());
    known.put(weight, placed);
    return placed;
  }

  /** Forgets the weights of a memory that closes. */
  void forget(CpuMemory memory) {
    memory.weights().forEach(known::remove);
  }

  @Override
  public void close() {
    known.clear();
    others.close();
  }
}
