package dev.lathe.gpucheck;

import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import tools.jackson.databind.JsonNode;

/**
 * One line of a benchmark: {@code {"bench": "linear_bf16", "shape": "1 x 8192 x 8192", "side":
 * "lathe", "samples_us": [...], "bytes": n, "flops": n, "arithmetic": "bf16", "paired": "..."}}.
 * Ours and theirs meet where bench and shape are the same.
 *
 * @param bench what is computed, in which types
 * @param side whose kernel: {@code lathe}, {@code cublas}, {@code torch}
 * @param microseconds of one call each, in the order in which they were taken
 * @param bytes that have to move at least; empty where nobody counted them
 * @param flops a multiply-add is two
 * @param arithmetic what multiplies: {@code bf16}, {@code int8}, {@code f32}; empty where nothing
 *     does
 * @param paired rows of the same name were timed in turns, a sample of each and again; empty where
 *     a row was timed alone
 */
record Timing(
    String bench,
    String shape,
    String side,
    double[] microseconds,
    OptionalLong bytes,
    OptionalLong flops,
    String arithmetic,
    String paired) {

  /** Empty for a line that is something else: a remark, or an error. */
  static Optional<Timing> of(JsonNode line) {
    JsonNode samples = line.path("samples_us");
    if (!line.path("bench").isString() || !samples.isArray() || samples.isEmpty()) {
      return Optional.empty();
    }
    return Optional.of(
        new Timing(
            line.get("bench").stringValue(),
            line.path("shape").asString(""),
            line.path("side").asString("lathe"),
            samples.valueStream().mapToDouble(JsonNode::asDouble).toArray(),
            count(line.path("bytes")),
            count(line.path("flops")),
            line.path("arithmetic").asString(""),
            line.path("paired").asString("")));
  }

  private static OptionalLong count(JsonNode node) {
    return node.isNumber() && node.asLong() > 0
        ? OptionalLong.of(node.asLong())
        : OptionalLong.empty();
  }

  /** {@code lathe}, and variants of it. */
  boolean ours() {
    return side.equals("lathe") || side.startsWith("lathe,") || side.startsWith("lathe/");
  }

  double median() {
    return quantile(0.5);
  }

  /** Of the samples, between neighbours linearly. */
  double quantile(double q) {
    return quantile(microseconds, q);
  }

  private static double quantile(double[] values, double q) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double at = q * (sorted.length - 1);
    int below = (int) at;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
  }

  /** Half of the range in which the middle 80 % of the samples lie, relative to the median. */
  double spread() {
    return (quantile(0.9) - quantile(0.1)) / 2 / median();
  }

  boolean pairedWith(Timing other) {
    return !paired.isEmpty()
        && paired.equals(other.paired)
        && microseconds.length == other.microseconds.length;
  }

  /**
   * How many times as long the other takes: the median of the ratios of samples that were taken one
   * after the other where both were timed in turns, else the ratio of the medians.
   */
  double ratioOf(Timing other) {
    if (!pairedWith(other)) {
      return other.median() / median();
    }
    double[] ratios = new double[microseconds.length];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] = other.microseconds[i] / microseconds[i];
    }
    return quantile(ratios, 0.5);
  }

  OptionalDouble gigabytesPerSecond() {
    return bytes.isPresent()
        ? OptionalDouble.of(bytes.getAsLong() / median() / 1e3)
        : OptionalDouble.empty();
  }

  OptionalDouble teraflopsPerSecond() {
    return flops.isPresent()
        ? OptionalDouble.of(flops.getAsLong() / median() / 1e6)
        : OptionalDouble.empty();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Timing t
        && bench.equals(t.bench)
        && shape.equals(t.shape)
        && side.equals(t.side)
        && Arrays.equals(microseconds, t.microseconds)
        && bytes.equals(t.bytes)
        && flops.equals(t.flops)
        && arithmetic.equals(t.arithmetic)
        && paired.equals(t.paired);
  }

  @Override
  public int hashCode() {
    return bench.hashCode() + 31 * shape.hashCode() + 961 * side.hashCode();
  }

  @Override
  public String toString() {
    return "%s %s by %s: %s µs".formatted(bench, shape, side, Arrays.toString(microseconds));
  }
}
