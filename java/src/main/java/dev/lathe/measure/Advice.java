package dev.lathe.measure;

import dev.lathe.backend.Ceilings;
import dev.lathe.backend.Ceilings.TensorCores;
import dev.lathe.backend.Linear;
import dev.lathe.measure.Profile.Operation;
import dev.lathe.measure.Profile.Phase;
import dev.lathe.measure.Profiler.Facts;
import dev.lathe.model.DecoderWeights;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * What to do about a bottleneck, each with the most that it can gain, computed from the profile:
 * ceilings, not promises. A technique that cannot gain is not advised.
 */
final class Advice {
  /** A gain below this is not worth a line. */
  private static final double WORTH = 1.05;

  private static final int BATCH = 8;

  private final Facts facts;
  private final List<String> advice = new ArrayList<>();

  private Advice(Facts facts) {
    this.facts = facts;
  }

  static List<String> of(Facts facts, List<Phase> phases, List<Operation> ops) {
    Advice advice = new Advice(facts);
    for (Phase phase : phases) {
      List<Operation> mine = ops.stream().filter(o -> o.phase().equals(phase.name())).toList();
      switch (phase.bound()) {
        case MEMORY -> advice.memoryBound(phase, mine);
        case COMPUTE -> advice.computeBound(phase, mine);
        case OVERHEAD -> advice.overheadBound(phase, mine);
      }
      advice.outlier(phase, mine);
    }
    return List.copyOf(advice.advice);
  }

  private void add(Phase phase, String text, Object... arguments) {
    advice.add(phase.name() + ": " + String.format(Locale.ROOT, text, arguments));
  }

  private void memoryBound(Phase phase, List<Operation> ops) {
    double moved = phase.bytes();
    double read = (double) phase.steps() * linears().mapToLong(Linear::bytes).sum();
    double asInt8 = (double) phase.steps() * linears().mapToLong(Advice::int8Bytes).sum();
    double gain = moved / (moved - (read - asInt8));
    if (gain > WORTH) {
      add(
          phase,
          "memory-bound: INT8 weights: weights are %.0f %% of the bytes moved; one byte each makes"
              + " it at most %.2f times as fast",
          100 * read / moved,
          gain);
    }
    double cached = cacheBytesRead(phase);
    double half = moved / (moved - cached / 2);
    if (half > WORTH && facts.cacheType() == DType.F32) {
      add(
          phase,
          "memory-bound: KV-cache in 16 bits: keys and values are %.0f %% of the bytes moved; at"
              + " most %.2f times as fast",
          100 * cached / moved,
          half);
    }
    boolean kept = facts.decoder().backend().cacheTypes().contains(DType.I8);
    long int8Bytes = Bytes.keyValuePerToken(facts.decoder().config(), DType.I8);
    double saved = cached * (1 - (double) int8Bytes / facts.kvBytesPerToken());
    double int8 = moved / (moved - saved);
    if (int8 > WORTH && kept) {
      add(
          phase,
          "memory-bound: KV-cache in INT8: keys and values are %.0f %% of the bytes moved; at most"
              + " %.2f times as fast (quantize --scheme kv8)",
          100 * cached / moved,
          int8);
    }
    if (phase.name().equals(Profiler.DECODE) && phase.sequences() < BATCH) {
      // The weights are read once for all sequences; the rest grows with them.
      double more = (double) BATCH / phase.sequences();
      double bytes = read + (moved - read) * more;
      double nanos =
          Math.max(
              bytes / facts.ceilings().readBandwidthGbs(),
              phase.flops() * more / Roof.of(ops, facts.ceilings()).peakGflops());
      double batched = more * moved / facts.ceilings().readBandwidthGbs() / nanos;
      add(
          phase,
          "memory-bound: batching: %d sequences share one reading of the weights; at most %.1f"
              + " times the tokens/s",
          BATCH,
          batched);
    }
  }

  private void computeBound(Phase phase, List<Operation> ops) {
    double products =
        100.0
            * ops.stream().filter(Advice::isLinear).mapToLong(Operation::flops).sum()
            / phase.flops();
    double reached = phase.tflops() * 1e3 / Roof.of(ops, facts.ceilings()).peakGflops();
    add(
        phase,
        "compute-bound: %.0f %% of the arithmetic peak is reached and %.0f %% of the FLOPs are"
            + " matrix products: only fewer or narrower operations help (INT8 or 16-bit products,"
            + " removing whole rows); a bigger batch or smaller weights do not",
        100 * reached,
        products);
    double byW8a8 = roofTime(ops) / roofTime(ops, int8Gops());
    if (byW8a8 > WORTH) {
      add(
          phase,
          "compute-bound: W8A8: with products of 8-bit integers the arithmetic of linear layers has"
              + " a roof of %.0f GOP/s; at most %.2f times as fast (quantize --scheme w8a8)",
          int8Gops(),
          byW8a8);
    }
    if (1 / reached > WORTH) {
      add(
          phase,
          "compute-bound: better kernels and fusion make it at most %.2f times as fast",
          1 / reached);
    }
  }

  /** The roof of INT8 by INT8, in 10^9 operations a second; 0 where none was measured. */
  private double int8Gops() {
    return facts
        .ceilings()
        .int8Gops()
        .orElse(facts.ceilings().tensorCores().map(TensorCores::int8Gops).orElse(0.0));
  }

  /** Least nanoseconds of arithmetic, each operation under its own roof. */
  private static double roofTime(List<Operation> ops) {
    return roofTime(ops, 0);
  }

  /**
   * The same with linear layers, the head not, under a roof of so many GOP/s where it is higher.
   */
  private static double roofTime(List<Operation> ops, double linearGops) {
    return ops.stream()
        .mapToDouble(op -> {
          boolean layer = isLinear(op) && !op.name().equals("head");
          return op.flops() / (layer ? Math.max(op.roofGflops(), linearGops) : op.roofGflops());
        })
        .sum();
  }

  private void overheadBound(Phase phase, List<Operation> ops) {
    double bandwidth = phase.gbs() / facts.ceilings().readBandwidthGbs();
    Ceilings roof = Roof.of(ops, facts.ceilings());
    double peak = phase.tflops() * 1e3 / roof.peakGflops();
    double floor = roof.leastNanos(phase.flops(), phase.bytes()) / (phase.timeMs() * 1e6);
    int calls = ops.stream().mapToInt(Operation::calls).sum() / phase.steps();
    double micros = phase.timeMs() * 1e3 / phase.steps();
    add(
        phase,
        "overhead-bound: %.1f %% of the bandwidth and %.1f %% of the arithmetic peak are reached;"
            + " smaller weights alone make it at most %.2f times as fast",
        100 * bandwidth,
        100 * peak,
        1 / (1 - floor));
    if (phase.timedMs() < 0.99 * phase.timeMs()) {
      add(
          phase,
          "overhead-bound: %.0f %% of the time lies between the operations: preparing the batch,"
              + " uploading its numbers",
          100 * (1 - phase.timedMs() / phase.timeMs()));
    }
    if (phase.name().equals(Profiler.DECODE) && phase.sequences() < BATCH) {
      add(
          phase,
          "overhead-bound: batching: a step is %d operations of %.1f us on average whatever its"
              + " size; %d sequences a step share them, at most %.0f times the tokens/s",
          calls,
          micros / calls,
          BATCH,
          (double) BATCH / phase.sequences());
    }
    add(
        phase,
        "overhead-bound: fusion or a captured graph: fewer calls than the %d a step has",
        calls);
    ops.stream()
        .filter(Advice::isLinear)
        .max(Comparator.comparingDouble(Operation::timeMs))
        .ifPresent(op ->
            add(
                phase,
                "overhead-bound: small matrices: %s is %s FLOP a call, %.1f us at the ceilings"
                    + " and %.1f us measured",
                op.name(),
                count((double) op.flops() / op.calls()),
                1e3 * op.leastMs() / op.calls(),
                1e3 * op.timeMs() / op.calls()));
  }

  /** The operation that takes far more of the time than its work explains. */
  private void outlier(Phase phase, List<Operation> ops) {
    double least = ops.stream().mapToDouble(Operation::leastMs).sum();
    ops.stream()
        .filter(op -> op.percent() > 20 && op.percent() > 3 * 100 * op.leastMs() / least)
        .max(Comparator.comparingDouble(Operation::percent))
        .ifPresent(op ->
            add(
                phase,
                "unexpected: %s takes %.0f %% of the time and is %.0f %% of the work at the"
                    + " ceilings: its kernel is the one to look at",
                op.name(),
                op.percent(),
                100 * op.leastMs() / least));
  }

  /** Keys and values that attention reads over the phase, all steps and sequences. */
  private double cacheBytesRead(Phase phase) {
    int prompt = facts.options().promptTokens();
    double contexts = 0;
    if (phase.name().equals(Profiler.PREFILL)) {
      contexts = prompt;
    } else {
      for (int i = 1; i <= phase.steps(); i++) {
        contexts += prompt + i;
      }
    }
    return contexts * phase.sequences() * facts.kvBytesPerToken();
  }

  private Stream<Linear> linears() {
    DecoderWeights weights = facts.decoder().weights();
    return Stream.concat(
        weights.layers().stream()
            .flatMap(l -> Stream.of(l.queryKeyValue(), l.attentionOutput(), l.gateUp(), l.down())),
        Stream.of(weights.head()));
  }

  /** As INT8 with one 16-bit scale a row, or as it is where that is smaller. */
  private static long int8Bytes(Linear linear) {
    return Math.min(linear.bytes(), int8Bytes(linear.weight()));
  }

  private static long int8Bytes(Weight weight) {
    return weight.rows() * (weight.cols() + 2);
  }

  private static boolean isLinear(Operation op) {
    return switch (op.name()) {
      case "qkv", "attention_output", "gate_up", "down", "head", "linear" -> true;
      default -> false;
    };
  }

  private static String count(double value) {
    return value < 1e6
        ? String.format(Locale.ROOT, "%.0f thousand", value / 1e3)
        : String.format(Locale.ROOT, "%.1f million", value / 1e6);
  }
}
