package dev.lathe.backend;

/**
 * The two ceilings of a machine that a kernel can hit, measured and not looked up.
 *
 * @param readBandwidthGbs bytes that the device reads at best, in 10^9 a second; from memory or
 *     from a cache, as {@code source} says
 * @param peakGflops F32 arithmetic at best, in 10^9 operations a second; a fused multiply-add
 *     counts as two
 * @param source how the figures came about: the threads, and how many bytes were read
 */
public record Ceilings(double readBandwidthGbs, double peakGflops, String source) {
  public Ceilings {
    if (!(readBandwidthGbs > 0 && peakGflops > 0)
        || Double.isInfinite(readBandwidthGbs)
        || Double.isInfinite(peakGflops)) {
      throw new IllegalArgumentException(
          "ceilings must be positive and finite: %s GB/s, %s GFLOP/s"
              .formatted(readBandwidthGbs, peakGflops));
    }
  }

  /** The arithmetic intensity, in operations a byte, above which arithmetic is the limit. */
  public double ridgeFlopsPerByte() {
    return peakGflops / readBandwidthGbs;
  }

  /** The least time that this much work can take, in nanoseconds: the larger of its two parts. */
  public double leastNanos(double flops, double bytes) {
    return Math.max(flops / peakGflops, bytes / readBandwidthGbs);
  }
}
