package dev.lathe.gpucheck;

import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import tools.jackson.databind.JsonNode;

/**
 * One line of a benchmark: {@code {"bench": "linear_bf16", "shape": "1 x 8192 x 8192", "side":
 * "lathe", "samples_us": [...], "bytes": n, "flops": n}}. Ours and theirs meet where bench and
 * shape are the same.
 *
 * @param bench what is computed, in which types
 * @param side whose kernel: {@code lathe}, {@code cublas}, {@code torch}
 * @param microseconds of one call each, in ascending order
 * @param bytes that have to move at least; empty where nobody counted them
 * @param flops a multiply-add is two
 */
record Timing(
    String bench,
    String shape,
    String side,
    double[] microseconds,
    OptionalLong bytes,
    OptionalLong flops) {

  /** Empty for a line that is something else: a remark, or an error. */
  static Optional<Timing> of(JsonNode line) {
    JsonNode samples = line.path("samples_us");
    if (!line.path("bench").isString() || !samples.isArray() || samples.isEmpty()) {
      return Optional.empty();
    }
    double[] microseconds =
        samples.valueStream().mapToDouble(JsonNode::asDouble).sorted().toArray();
    return Optional.of(
        new Timing(
            line.get("bench").stringValue(),
            line.path("shape").asString(""),
            line.path("side").asString("lathe"),
            microseconds,
            count(line.path("bytes")),
            count(line.path("flops"))));
  }

  private static OptionalLong count(JsonNode node) {
    return node.isNumber() && node.asLong() > 0
        ? OptionalLong.of(node.asLong())
        : OptionalLong.empty();
  }

  double median() {
    return quantile(0.5);
  }

  /** Of the samples, between neighbours linearly. */
  double quantile(double q) {
    double at = q * (microseconds.length - 1);
    int below = (int) at;
    int above = Math.min(below + 1, microseconds.length - 1);
    return microseconds[below] + (at - below) * (microseconds[above] - microseconds[below]);
  }

  /** Half of the range in which the middle 80 % of the samples lie, relative to the median. */
  double spread() {
    return (quantile(0.9) - quantile(0.1)) / 2 / median();
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
        && flops.equals(t.flops);
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
