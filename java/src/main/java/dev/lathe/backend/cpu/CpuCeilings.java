package dev.lathe.backend.cpu;

import static dev.lathe.backend.cpu.CpuLibrary.unexpected;

import dev.lathe.backend.Ceilings;
import dev.lathe.error.LatheException;
import java.util.OptionalDouble;

/**
 * The most that this machine gives, measured now with the kernels' own threads: what achieved
 * bandwidth and FLOP/s are held against. On a machine that others use too, it is what was left.
 *
 * @param readBandwidthGbs GB (10^9 bytes) read per second from memory, the best of several passes
 * @param peakGflops 10^9 F32 operations per second out of registers, a fused multiply-add being two
 * @param int16Gops the same of products of 16-bit integers that are summed in 32
 * @param int8Gops of 8-bit integers; empty where there are no instructions for them
 */
public record CpuCeilings(
    double readBandwidthGbs, double peakGflops, double int16Gops, OptionalDouble int8Gops) {
  private static final long BUFFER_BYTES = 512L << 20;
  private static final int REPEATS = 7;
  private static final int MOST_REPEATS = 501;

  /**
   * Takes some tenths of a second and 512 MiB for that time.
   *
   * @throws dev.lathe.error.BackendUnusableException where the native kernels cannot run
   */
  public static CpuCeilings measure(int threads) {
    return measure(threads, BUFFER_BYTES);
  }

  /**
   * The same with the bandwidth of reading a buffer of that size over and over: what fits a cache
   * is read at the cache's speed. Pieces of 1 MiB, at least one a thread, are what it is read in.
   */
  public static CpuCeilings measure(int threads, long bufferBytes) {
    int repeats = Math.clamp(BUFFER_BYTES / Math.max(1, bufferBytes), REPEATS, MOST_REPEATS);
    try (CpuBackend backend = CpuBackend.open(threads)) {
      double bytes =
          (double)
              CpuLibrary.Symbols.BANDWIDTH.invokeExact(backend.context(), bufferBytes, repeats);
      if (bytes < 0) {
        throw new LatheException(
            LatheException.FAILED,
            "out of memory: measuring the memory's bandwidth takes %d MiB"
                .formatted(bufferBytes >> 20));
      }
      double flops = (double) CpuLibrary.Symbols.FLOPS.invokeExact(backend.context(), REPEATS);
      double integers =
          (double) CpuLibrary.Symbols.INTEGER_OPS.invokeExact(backend.context(), REPEATS);
      double bytewise =
          (double) CpuLibrary.Symbols.BYTE_OPS.invokeExact(backend.context(), REPEATS);
      return new CpuCeilings(
          bytes / 1e9,
          flops / 1e9,
          integers / 1e9,
          bytewise < 0 ? OptionalDouble.empty() : OptionalDouble.of(bytewise / 1e9));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** These as a backend's. */
  public Ceilings asCeilings(String source) {
    return new Ceilings(readBandwidthGbs, peakGflops, int16Gops, int8Gops, source);
  }

  /**
   * How fast two threads of the kernels meet: nanoseconds until a word that one has written was
   * seen by the other and its answer by the first. Small models are handed from thread to thread
   * dozens of times a token, so their speed follows it. On a virtual machine it can change within a
   * moment by a factor of four and more.
   *
   * @return the median of some {@value #REPEATS} stretches of thousands; empty for one thread, or
   *     where no other thread got to run
   * @throws dev.lathe.error.BackendUnusableException where the native kernels cannot run
   */
  public static OptionalDouble roundTripNanos(int threads) {
    try (CpuBackend backend = CpuBackend.open(threads)) {
      double nanos = (double) CpuLibrary.Symbols.ROUND_TRIP.invokeExact(backend.context(), REPEATS);
      return nanos < 0 ? OptionalDouble.empty() : OptionalDouble.of(nanos);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }
}
