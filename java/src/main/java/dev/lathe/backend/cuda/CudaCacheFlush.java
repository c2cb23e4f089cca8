package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.JCudaDriver;

/** Twice as much memory as the L2 cache holds, written over and over. */
final class CudaCacheFlush implements ProductTrial.Flush {
  private final CudaContext context;
  private final DeviceMemory memory;
  private final Tensor buffer;

  /**
   * @param memory empty; closed with this
   * @throws dev.lathe.backend.OutOfDeviceMemoryException if there is not that much
   */
  CudaCacheFlush(CudaContext context, DeviceMemory memory) {
    this.context = context;
    this.memory = memory;
    long cache = context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
    try {
      buffer = memory.tensor(DType.U8, Math.max(1, 2 * cache));
    } catch (RuntimeException | Error e) {
      memory.close();
      throw e;
    }
  }

  @Override
  public void fill() {
    context.enter();
    LaunchListener listener = context.listener();
    listener.before(Kind.COPY, "flush the L2 cache", Arithmetic.F32, buffer.bytes());
    context.check(
        JCudaDriver.cuMemsetD8Async(
            new DevicePointer(buffer.address()), (byte) 1, buffer.bytes(), context.stream()),
        "cuMemsetD8Async");
    listener.after();
  }

  @Override
  public void close() {
    context.synchronize();
    memory.close();
  }
}
