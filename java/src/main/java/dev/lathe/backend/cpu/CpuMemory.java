package dev.lathe.backend.cpu;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.HostMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Host memory, with the descriptors of the weights that were placed with it. It tells its backend
 * when it is closed, so that nothing refers to it any more.
 */
final class CpuMemory implements DeviceMemory {
  private final HostMemory memory = new HostMemory();
  private final Arena descriptors = Arena.ofShared();
  private final List<Weight> weights = new ArrayList<>();
  private final Consumer<CpuMemory> onClose;
  private long copiedBytes;

  CpuMemory(Consumer<CpuMemory> onClose) {
    this.onClose = onClose;
  }

  Arena descriptors() {
    return descriptors;
  }

  /** Weights whose descriptors lie here. */
  List<Weight> weights() {
    return weights;
  }

  /** A weight that was described here, with copies of so many bytes. */
  void owns(Weight weight, long copies) {
    weights.add(weight);
    copiedBytes += copies;
  }

  @Override
  public Tensor tensor(DType dtype, long... shape) {
    return memory.tensor(dtype, shape);
  }

  @Override
  public long bytes() {
    return memory.bytes() + copiedBytes;
  }

  @Override
  public void close() {
    onClose.accept(this);
    descriptors.close();
    memory.close();
  }
}
