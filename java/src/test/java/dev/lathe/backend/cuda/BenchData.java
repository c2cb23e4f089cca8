package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.Function;
import jcuda.driver.JCudaDriver;

/**
 * What benchmarks compute with: random numbers, never zeros, which some hardware multiplies faster.
 * A block is made on the host and copied on the device until a tensor is full, because making all
 * of it takes longer than timing.
 */
final class BenchData {
  /** A prime, so that rows of a tensor don't repeat each other. */
  private static final int BLOCK_ELEMENTS = 262_139;

  private BenchData() {}

  /** Normally distributed floats, or all bytes of symmetric INT8. */
  static Tensor random(CudaBench bench, DType type, long seed, long... shape) {
    Tensor block = bench.host(type, Math.min(Tensor.elements(shape), BLOCK_ELEMENTS));
    SplittableRandom random = new SplittableRandom(seed);
    for (long i = 0; i < block.elements(); i++) {
      switch (type) {
        case I8 -> block.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-127, 128));
        case F32 ->
            block.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
        case BF16 -> {
          int bits = Float.floatToRawIntBits((float) random.nextGaussian());
          block.memory().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (bits >>> 16));
        }
        default -> throw new IllegalArgumentException("no random numbers of " + type);
      }
    }
    Tensor device = bench.device(type, shape);
    fill(bench, device, block);
    return device;
  }

  /** The block from the host, then what is there already behind itself, doubling. */
  private static void fill(CudaBench bench, Tensor device, Tensor block) {
    CudaContext context = bench.context;
    long done = Math.min(block.bytes(), device.bytes());
    context.check(
        JCudaDriver.cuMemcpyHtoD(
            new DevicePointer(device.address()), new HostPointer(block.memory()), done),
        "cuMemcpyHtoD");
    while (done < device.bytes()) {
      long more = Math.min(done, device.bytes() - done);
      context.check(
          JCudaDriver.cuMemcpyDtoD(
              new DevicePointer(device.address() + done),
              new DevicePointer(device.address()),
              more),
          "cuMemcpyDtoD");
      done += more;
    }
    // Copies on the device go through another stream than what is timed, and may still run.
    context.check(JCudaDriver.cuCtxSynchronize(), "cuCtxSynchronize");
  }

  /** On the device, the rows of a tensor on the host again and again. */
  static Tensor repeated(CudaBench bench, Tensor host, int times) {
    long[] shape = host.shape();
    shape[0] *= times;
    Tensor device = bench.device(host.dtype(), shape);
    fill(bench, device, host);
    return device;
  }

  /** On the device, the rows of a weight on the host again and again. */
  static Weight repeated(CudaBench bench, Weight block, int times) {
    Function<Tensor, Tensor> repeat = tensor -> repeated(bench, tensor, times);
    return switch (block) {
      case Weight.Dense dense -> new Weight.Dense(repeat.apply(dense.values()));
      case Weight.Int8 int8 ->
          new Weight.Int8(
              repeat.apply(int8.values()),
              repeat.apply(int8.scales()),
              int8.zeroPoints().map(repeat));
      case Weight.Bitmap bitmap -> {
        long rows = bitmap.rows();
        Tensor offsets = bench.host(DType.I64, rows * times + 1);
        for (long r = 0; r <= rows * times; r++) {
          long within = bitmap.rowOffsets().memory().getAtIndex(ValueLayout.JAVA_LONG, r % rows);
          long start = r / rows * bitmap.values().size(0) + within;
          offsets.memory().setAtIndex(ValueLayout.JAVA_LONG, r, start);
        }
        yield new Weight.Bitmap(
            bitmap.cols(),
            repeat.apply(bitmap.bitmap()),
            bench.up(offsets),
            repeat.apply(bitmap.values()),
            Optional.empty(),
            Optional.empty());
      }
      case Weight.Stacked _ -> throw new IllegalArgumentException("a stack is not one matrix");
    };
  }
}
