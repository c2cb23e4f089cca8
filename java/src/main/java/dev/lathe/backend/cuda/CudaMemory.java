package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.OutOfDeviceMemoryException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/** Tensors from the pool, which go back to it together. */
final class CudaMemory implements DeviceMemory {
  private final CudaContext context;
  private final CudaPool pool;
  private final Consumer<CudaMemory> onClose;
  private final List<Long> pieces = new ArrayList<>();
  private long bytes;
  private boolean closed;

  CudaMemory(CudaContext context, CudaPool pool, Consumer<CudaMemory> onClose) {
    this.context = context;
    this.pool = pool;
    this.onClose = onClose;
  }

  /** A pool over a context's memory. It must be closed before the context. */
  static CudaPool newPool(CudaContext context) {
    // Where every access is checked, each tensor has bounds of its own.
    boolean bounds = CudaDriver.kind() == CudaDriver.Kind.EMULATED_CHECKED;
    return new CudaPool(
        new CudaPool.Driver() {
          @Override
          public long allocate(long bytes) {
            context.enter();
            DevicePointer pointer = new DevicePointer();
            context.listener().waits("allocate");
            int result = JCudaDriver.cuMemAlloc(pointer, bytes);
            context.listener().waited();
            if (result == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
              return 0;
            }
            context.check(result, "cuMemAlloc of " + bytes + " bytes");
            return pointer.address();
          }

          @Override
          public void release(long address) {
            context.enter();
            context.listener().waits("free");
            context.release(JCudaDriver.cuMemFree(new DevicePointer(address)), "cuMemFree");
            context.listener().waited();
          }
        },
        bounds ? 0 : 64L << 20);
  }

  /** {@inheritDoc} Zeroed on the stream: before whatever is put there next. */
  @Override
  public Tensor tensor(DType dtype, long... shape) {
    if (closed) {
      throw new IllegalStateException("this device memory is closed");
    }
    context.enter();
    context.refuseCapture("an allocation");
    long needed = Math.multiplyExact(Tensor.elements(shape), dtype.bytes());
    long address = pool.take(needed);
    if (address == 0) {
      throw outOfMemory(needed, dtype, shape);
    }
    pieces.add(address);
    bytes += needed;
    if (needed > 0) {
      LaunchListener listener = context.listener();
      listener.before(Kind.COPY, "clear", Arithmetic.F32, needed);
      context.check(
          JCudaDriver.cuMemsetD8Async(
              new DevicePointer(address), (byte) 0, needed, context.stream()),
          "cuMemsetD8Async");
      listener.after();
    }
    return Tensor.onDevice(MemorySegment.ofAddress(address).reinterpret(needed), dtype, shape);
  }

  private OutOfDeviceMemoryException outOfMemory(long needed, DType dtype, long... shape) {
    long[] free = new long[1];
    long[] total = new long[1];
    context.check(JCudaDriver.cuMemGetInfo(free, total), "cuMemGetInfo");
    long rows = shape.length == 0 || shape[0] == 0 ? 0 : free[0] / (needed / shape[0]);
    return new OutOfDeviceMemoryException(
        ("out of GPU memory: %s%s needs %,d bytes, %,d of %,d are free, %,d are in use here; %,d of"
                + " its %,d rows would fit. A smaller batch, a shorter context, or weights in a"
                + " smaller type (lathe quantize) need less")
            .formatted(
                dtype,
                Arrays.toString(shape),
                needed,
                free[0],
                total[0],
                pool.usedBytes(),
                rows,
                shape.length == 0 ? 1 : shape[0]),
        free[0]);
  }

  @Override
  public long bytes() {
    return bytes;
  }

  /** Gives the tensors back; kernels that were put on the stream before may still use them. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      pieces.forEach(pool::give);
      pieces.clear();
      bytes = 0;
      onClose.accept(this);
    }
  }
}
