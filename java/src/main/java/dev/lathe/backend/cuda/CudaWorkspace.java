package dev.lathe.backend.cuda;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * Memory for what a kernel needs only while it runs. It grows to the most that was ever asked for;
 * graphs that point to what it was before are forgotten.
 */
final class CudaWorkspace {
  private final CudaContext context;
  private final CudaPool pool;
  private final CudaGraphs graphs;
  private DeviceMemory memory;
  private long address;
  private long bytes;

  CudaWorkspace(CudaContext context, CudaPool pool, CudaGraphs graphs) {
    this.context = context;
    this.pool = pool;
    this.graphs = graphs;
  }

  /** Memory with anything in it. */
  Tensor tensor(DType dtype, long... shape) {
    long needed = Tensor.elements(shape) * dtype.bytes();
    if (memory == null || bytes < needed) {
      grow(needed);
    }
    return Tensor.onDevice(MemorySegment.ofAddress(address).reinterpret(needed), dtype, shape);
  }

  private void grow(long needed) {
    CudaMemory larger = new CudaMemory(context, pool, _ -> {});
    address = larger.tensor(DType.U8, Math.max(1, needed)).address();
    bytes = needed;
    if (memory != null) {
      graphs.clear();
      memory.close();
    }
    memory = larger;
  }
}
