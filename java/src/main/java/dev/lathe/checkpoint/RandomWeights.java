package dev.lathe.checkpoint;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.stream.LongStream;
import org.hipparchus.distribution.continuous.NormalDistribution;

/**
 * Fills tensors with normally distributed numbers, reproducibly and at the speed of memory: each 16
 * random bits pick one of 65,536 quantiles of the distribution. An element depends on the seed and
 * its place alone, however many threads write.
 */
final class RandomWeights {
  private static final int QUANTILES = 1 << 16;
  private static final long CHUNK_ELEMENTS = 1 << 20;

  /** Of the standard normal distribution, at the middle of each of equal probabilities. */
  private static final double[] NORMAL = new double[QUANTILES];

  static {
    NormalDistribution normal = new NormalDistribution();
    for (int i = 0; i < QUANTILES; i++) {
      NORMAL[i] = normal.inverseCumulativeProbability((i + 0.5) / QUANTILES);
    }
  }

  private RandomWeights() {}

  /**
   * Fills a tensor.
   *
   * @param tensor F32, BF16 or I8, contiguous, in host memory that all threads may write
   * @param deviation standard deviation; of I8 in steps, values beyond 127 steps are cut
   * @param seed of this tensor
   */
  static void fill(Tensor tensor, double deviation, long seed) {
    long[] table = table(tensor.dtype(), deviation);
    int bytes = tensor.dtype().bytes();
    long elements = tensor.elements();
    MemorySegment memory = tensor.memory();
    LongStream.range(0, Math.ceilDiv(elements, CHUNK_ELEMENTS))
        .parallel()
        .forEach(chunk -> {
          long from = chunk * CHUNK_ELEMENTS;
          long to = Math.min(elements, from + CHUNK_ELEMENTS);
          long whole = from + (to - from) / 4 * 4;
          fillFours(memory, bytes, table, from, whole, seed);
          for (long i = whole; i < to; i++) {
            long bits = mix(seed + whole) >>> (16 * (i - whole));
            put(memory, bytes, i, table[(int) bits & 0xffff]);
          }
        });
  }

  private static void fillFours(
      MemorySegment memory, int bytes, long[] table, long from, long to, long seed) {
    for (long i = from; i < to; i += 4) {
      long bits = mix(seed + i);
      long a = table[(int) bits & 0xffff];
      long b = table[(int) (bits >>> 16) & 0xffff];
      long c = table[(int) (bits >>> 32) & 0xffff];
      long d = table[(int) (bits >>> 48)];
      switch (bytes) {
        case 4 -> {
          memory.set(ValueLayout.JAVA_LONG_UNALIGNED, i * 4, a | b << 32);
          memory.set(ValueLayout.JAVA_LONG_UNALIGNED, i * 4 + 8, c | d << 32);
        }
        case 2 ->
            memory.set(ValueLayout.JAVA_LONG_UNALIGNED, i * 2, a | b << 16 | c << 32 | d << 48);
        default ->
            memory.set(ValueLayout.JAVA_INT_UNALIGNED, i, (int) (a | b << 8 | c << 16 | d << 24));
      }
    }
  }

  private static void put(MemorySegment memory, int bytes, long index, long bits) {
    switch (bytes) {
      case 4 -> memory.set(ValueLayout.JAVA_INT_UNALIGNED, index * 4, (int) bits);
      case 2 -> memory.set(ValueLayout.JAVA_SHORT_UNALIGNED, index * 2, (short) bits);
      default -> memory.set(ValueLayout.JAVA_BYTE, index, (byte) bits);
    }
  }

  /** The bits of each quantile in the type, without a sign that would reach into a neighbour. */
  private static long[] table(DType dtype, double deviation) {
    long[] table = new long[QUANTILES];
    for (int i = 0; i < QUANTILES; i++) {
      double value = NORMAL[i] * deviation;
      table[i] =
          switch (dtype) {
            case F32 -> Float.floatToRawIntBits((float) value) & 0xffffffffL;
            case BF16 -> Floats.toBf16((float) value) & 0xffffL;
            case I8 -> Math.clamp(Math.round(value), -127, 127) & 0xffL;
            default -> throw new IllegalArgumentException("no random " + dtype);
          };
    }
    return table;
  }

  /** The finalizer of SplitMix64 (Steele, Lea and Flood 2014), over a counter. */
  private static long mix(long counter) {
    long z = counter * 0x9e3779b97f4a7c15L;
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }
}
