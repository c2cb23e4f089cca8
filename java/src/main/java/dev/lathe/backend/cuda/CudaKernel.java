package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.JCudaDriver;

/**
 * One kernel, with the block of memory that its arguments are written to: a launch allocates
 * nothing. Arguments are given in the order of the kernel's parameters, and then it is launched:
 *
 * <pre>{@code
 * kernel.pointer(out).pointer(x).i64(rows).f32(epsilon).launch(rows, 1, 1, 256, 0);
 * }</pre>
 *
 * The driver copies the arguments when it takes the launch, so the block is free again at once. Not
 * for two threads at a time.
 */
final class CudaKernel {
  private static final int MAX_ARGUMENTS = 64;
  private static final int SLOT_BYTES = Long.BYTES;

  private final CudaContext context;
  private final CUfunction function;
  private final String name;
  private final Arithmetic arithmetic;
  private final ByteBuffer values;

  private final Pointer parameters;
  private int count;
  private int allowedSharedBytes = DeviceLimits.DEFAULT_SHARED_BYTES;

  CudaKernel(CudaContext context, CUfunction function, String name, Arithmetic arithmetic) {
    this.context = context;
    this.function = function;
    this.name = name;
    this.arithmetic = arithmetic;
    values = ByteBuffer.allocateDirect(MAX_ARGUMENTS * SLOT_BYTES).order(ByteOrder.nativeOrder());
    ByteBuffer addresses =
        ByteBuffer.allocateDirect(MAX_ARGUMENTS * SLOT_BYTES).order(ByteOrder.nativeOrder());
    long first = MemorySegment.ofBuffer(values).address();
    for (int i = 0; i < MAX_ARGUMENTS; i++) {
      addresses.putLong(i * SLOT_BYTES, first + (long) i * SLOT_BYTES);
    }
    parameters = Pointer.to(addresses);
  }

  String name() {
    return name;
  }

  /** Forgets arguments of a launch that did not come about, because a later one was refused. */
  CudaKernel restart() {
    count = 0;
    return this;
  }

  /** The address of a tensor on the device. */
  CudaKernel pointer(Tensor tensor) {
    if (tensor.isHost()) {
      throw new IllegalArgumentException(
          name + ": argument " + count + " is " + tensor + ", which lies on the host");
    }
    return pointer(tensor.address());
  }

  /** An address on the device; 0 is null. */
  CudaKernel pointer(long address) {
    return i64(address);
  }

  CudaKernel i32(int value) {
    values.putInt(count++ * SLOT_BYTES, value);
    return this;
  }

  CudaKernel i64(long value) {
    values.putLong(count++ * SLOT_BYTES, value);
    return this;
  }

  CudaKernel f32(float value) {
    values.putFloat(count++ * SLOT_BYTES, value);
    return this;
  }

  /**
   * Puts the kernel on the context's stream. What it does wrong comes with a later call.
   *
   * @param gridX blocks, 1 to 2^31 - 1; y and z 1 to 65,535
   * @param threads of a block, all in x
   * @param sharedBytes of dynamic shared memory; more than 48 KB is asked for here
   */
  void launch(long gridX, int gridY, int gridZ, int threads, int sharedBytes) {
    count = 0;
    context.enter();
    if (gridX < 1
        || gridX > DeviceLimits.MAX_GRID_X
        || gridY < 1
        || gridY > DeviceLimits.MAX_GRID_YZ
        || gridZ < 1
        || gridZ > DeviceLimits.MAX_GRID_YZ) {
      throw new IllegalArgumentException(
          "%s: no grid of %d x %d x %d blocks".formatted(name, gridX, gridY, gridZ));
    }
    if (sharedBytes > allowedSharedBytes) {
      allowShared(sharedBytes);
    }
    LaunchListener listener = context.listener();
    listener.before(Kind.KERNEL, name, arithmetic, gridX, gridY, gridZ, threads, 0);
    int result =
        JCudaDriver.cuLaunchKernel(
            function,
            (int) gridX,
            gridY,
            gridZ,
            threads,
            1,
            1,
            sharedBytes,
            context.stream(),
            parameters,
            null);
    if (result != 0) {
      context.check(result, "cuLaunchKernel of " + name);
    }
    listener.after();
    context.launched(name);
  }

  private void allowShared(int bytes) {
    int most = context.limits().sharedBytesPerBlock();
    if (bytes > most) {
      throw new IllegalArgumentException(
          "%s: %d bytes of shared memory, the device has %d".formatted(name, bytes, most));
    }
    context.check(
        JCudaDriver.cuFuncSetAttribute(
            function, CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes),
        "cuFuncSetAttribute of " + name);
    allowedSharedBytes = bytes;
  }
}
