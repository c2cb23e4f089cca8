package dev.lathe.backend;

import java.util.Optional;
import java.util.OptionalDouble;

/**
 * The ceilings of a machine that a kernel can hit, measured and not looked up.
 *
 * @param readBandwidthGbs bytes that the device reads at best, in 10^9 a second; from memory or
 *     from a cache, as {@code source} says
 * @param peakGflops F32 arithmetic at best, in 10^9 operations a second; a fused multiply-add
 *     counts as two
 * @param tensorCores of a GPU; absent where there are none
 * @param int16Gops products of 16-bit integers with sums in 32 bits, of a CPU, in 10^9 operations a
 *     second; absent where they are not measured
 * @param int8Gops the same of 8-bit integers; absent where there are no instructions for them too
 * @param source how the figures came about: the threads, and how many bytes were read
 */
public record Ceilings(
    double readBandwidthGbs,
    double peakGflops,
    Optional<TensorCores> tensorCores,
    OptionalDouble int16Gops,
    OptionalDouble int8Gops,
    String source) {

  /**
   * What {@code mma.sync} reaches from registers, in 10^9 operations a second.
   *
   * @param bf16Gflops products of BF16, sums in F32
   * @param int8Gops products of INT8, sums in INT32
   */
  public record TensorCores(double bf16Gflops, double int8Gops) {
    public TensorCores {
      require(bf16Gflops, int8Gops, "GFLOP/s in BF16", "GOP/s in INT8");
    }
  }

  public Ceilings {
    require(readBandwidthGbs, peakGflops, "GB/s", "GFLOP/s");
    require(int16Gops.orElse(peakGflops), int8Gops.orElse(peakGflops), "GOP/s INT16", "GOP/s INT8");
  }

  /** Of what multiplies in F32 alone. */
  public Ceilings(double readBandwidthGbs, double peakGflops, String source) {
    this(
        readBandwidthGbs,
        peakGflops,
        Optional.empty(),
        OptionalDouble.empty(),
        OptionalDouble.empty(),
        source);
  }

  /** Of a GPU. */
  public Ceilings(
      double readBandwidthGbs, double peakGflops, TensorCores tensorCores, String source) {
    this(
        readBandwidthGbs,
        peakGflops,
        Optional.of(tensorCores),
        OptionalDouble.empty(),
        OptionalDouble.empty(),
        source);
  }

  /** Of a CPU. */
  public Ceilings(
      double readBandwidthGbs,
      double peakGflops,
      double int16Gops,
      OptionalDouble int8Gops,
      String source) {
    this(
        readBandwidthGbs,
        peakGflops,
        Optional.empty(),
        OptionalDouble.of(int16Gops),
        int8Gops,
        source);
  }

  private static void require(double first, double second, String firstUnit, String secondUnit) {
    if (!(first > 0 && second > 0) || Double.isInfinite(first) || Double.isInfinite(second)) {
      throw new IllegalArgumentException(
          "ceilings must be positive and finite: %s %s, %s %s"
              .formatted(first, firstUnit, second, secondUnit));
    }
  }

  /** The arithmetic intensity, in operations a byte, above which F32 arithmetic is the limit. */
  public double ridgeFlopsPerByte() {
    return peakGflops / readBandwidthGbs;
  }

  /** The least time that so much F32 work can take, in nanoseconds: the larger of its two parts. */
  public double leastNanos(double flops, double bytes) {
    return Math.max(flops / peakGflops, bytes / readBandwidthGbs);
  }

  /**
   * The same bandwidth under the roof of other arithmetic: what is asked of the result as {@code
   * peakGflops} is that of these units. F32 where they are not there.
   */
  public Ceilings under(Arithmetic arithmetic) {
    double roof =
        switch (arithmetic) {
          case F32 -> peakGflops;
          case BF16_TENSOR_CORES -> tensorCores.map(TensorCores::bf16Gflops).orElse(peakGflops);
          case INT16 -> int16Gops.orElse(peakGflops);
          case INT8 -> int8Gops.orElse(int16Gops.orElse(peakGflops));
          case INT8_TENSOR_CORES -> tensorCores.map(TensorCores::int8Gops).orElse(peakGflops);
        };
    return withPeak(roof);
  }

  /** The same bandwidth under a roof in between: of work of which parts have different roofs. */
  public Ceilings withPeak(double gflops) {
    return new Ceilings(readBandwidthGbs, gflops, tensorCores, int16Gops, int8Gops, source);
  }
}
