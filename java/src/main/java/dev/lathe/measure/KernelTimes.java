package dev.lathe.measure;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.DeviceRecord.Grid;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import dev.lathe.measure.Profile.DevicePhase;
import dev.lathe.measure.Profile.Kernel;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.measure.TracingBackend.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.function.ToDoubleFunction;

/** Time by kernel, from recorded phases: pure functions. */
final class KernelTimes {
  /**
   * The part of its operations' time from which on a kernel is credited with all of their work: its
   * GB/s and TFLOP/s are then at most 1 / 0.95 of what it does itself.
   */
  static final double DOMINANT = 0.95;

  private static final double MILLI = 1e6;

  private KernelTimes() {}

  /** Launches that stand in one row. */
  private record Key(
      Kind kind, String name, Arithmetic arithmetic, Grid grid, Optional<String> operation) {}

  /** What the launches of a row come to in one run. */
  private static final class Row {
    int calls;
    long nanos;
    long copied;

    /** Of all launches of the operations that launched this: each operation once. */
    long operationNanos;

    long flops;
    long bytes;

    /** The last operation that was counted. */
    int countedOperation = -1;
  }

  /**
   * The kernels of a phase.
   *
   * @param runs of the phase, one a repetition; calls and work are those of the last
   * @param costs of the same operations in the same order, from a run in which each was timed alone
   */
  static List<Kernel> kernels(List<TracedPhase> runs, List<Event> costs, Ceilings ceilings) {
    List<Map<Key, Row>> rows = runs.stream().map(run -> rows(run, costs)).toList();
    Map<Key, Row> last = rows.getLast();
    Map<Key, Double> times = new LinkedHashMap<>();
    for (Key key : last.keySet()) {
      times.put(
          key,
          Statistics.median(
              rows.stream()
                  .mapToDouble(run -> run.containsKey(key) ? run.get(key).nanos : 0)
                  .toArray()));
    }
    double total = times.values().stream().mapToDouble(t -> t).sum();
    List<Kernel> kernels = new ArrayList<>();
    last.forEach((key, row) ->
        kernels.add(kernel(runs.getLast().phase(), key, row, times.get(key), total, ceilings)));
    kernels.sort(Comparator.comparingDouble(Kernel::timeMs).reversed());
    return kernels;
  }

  private static Map<Key, Row> rows(TracedPhase run, List<Event> costs) {
    requireSameOperations(run, costs);
    Map<Key, Row> rows = new LinkedHashMap<>();
    List<Launch> launches = run.record().launches();
    int operation = 0;
    for (int i = 0; i < launches.size(); i++) {
      while (operation < run.operations().size()
          && run.operations().get(operation).endLaunch() <= i) {
        operation++;
      }
      boolean inside =
          operation < run.operations().size() && run.operations().get(operation).firstLaunch() <= i;
      Optional<String> name =
          inside ? Optional.of(run.operations().get(operation).name()) : Optional.empty();
      Launch launch = launches.get(i);
      Key key = new Key(launch.kind(), launch.name(), launch.arithmetic(), launch.grid(), name);
      Row row = rows.computeIfAbsent(key, k -> new Row());
      row.calls++;
      row.nanos += launch.nanos();
      row.copied += launch.bytes();
      if (inside && row.countedOperation != operation) {
        row.countedOperation = operation;
        row.operationNanos += nanos(launches, run.operations().get(operation));
        row.flops += costs.get(operation).flops();
        row.bytes += costs.get(operation).bytes();
      }
    }
    return rows;
  }

  private static void requireSameOperations(TracedPhase run, List<Event> costs) {
    List<String> traced = run.operations().stream().map(Span::name).toList();
    List<String> timed = costs.stream().map(Event::name).toList();
    if (!traced.equals(timed)) {
      throw new IllegalStateException(
          "two runs of the same %s had different operations: %s and %s"
              .formatted(run.phase(), traced, timed));
    }
  }

  private static long nanos(List<Launch> launches, Span operation) {
    return launches.subList(operation.firstLaunch(), operation.endLaunch()).stream()
        .mapToLong(Launch::nanos)
        .sum();
  }

  private static Kernel kernel(
      String phase, Key key, Row row, double nanos, double totalNanos, Ceilings ceilings) {
    boolean copies = key.kind() == Kind.COPY;
    boolean dominates =
        !copies && key.operation().isPresent() && row.nanos >= DOMINANT * row.operationNanos;
    boolean measured = nanos > 0;
    OptionalLong bytes =
        copies
            ? OptionalLong.of(row.copied)
            : dominates ? OptionalLong.of(row.bytes) : OptionalLong.empty();
    return new Kernel(
        phase,
        key.kind().name().toLowerCase(Locale.ROOT),
        key.name(),
        key.operation(),
        row.calls,
        nanos / MILLI,
        totalNanos > 0 ? 100 * nanos / totalNanos : 0,
        row.operationNanos > 0
            ? OptionalDouble.of(100.0 * row.nanos / row.operationNanos)
            : OptionalDouble.empty(),
        Kernel.blocks(key.grid()),
        key.grid().equals(Grid.UNKNOWN)
            ? OptionalInt.empty()
            : OptionalInt.of(key.grid().threads()),
        key.arithmetic().toString(),
        dominates ? OptionalLong.of(row.flops) : OptionalLong.empty(),
        bytes,
        bytes.isPresent() && measured
            ? OptionalDouble.of(bytes.getAsLong() / nanos)
            : OptionalDouble.empty(),
        dominates && measured ? OptionalDouble.of(row.flops / nanos / 1e3) : OptionalDouble.empty(),
        dominates && measured
            ? Optional.of(
                Bound.of(
                    (double) row.flops,
                    (double) row.bytes,
                    nanos,
                    ceilings.under(key.arithmetic())))
            : Optional.empty());
  }

  /** What most of the time of each operation's kernels goes to multiplying with, by its name. */
  static Map<String, Arithmetic> arithmetic(TracedPhase run) {
    Map<String, EnumMap<Arithmetic, Long>> nanos = new HashMap<>();
    for (Span operation : run.operations()) {
      EnumMap<Arithmetic, Long> mine =
          nanos.computeIfAbsent(operation.name(), n -> new EnumMap<>(Arithmetic.class));
      run.record()
          .launches()
          .subList(operation.firstLaunch(), operation.endLaunch())
          .forEach(launch -> mine.merge(launch.arithmetic(), launch.nanos(), Long::sum));
    }
    Map<String, Arithmetic> most = new HashMap<>();
    nanos.forEach((name, mine) ->
        mine.entrySet().stream()
            .max(Map.Entry.comparingByValue())
            .ifPresent(entry -> most.put(name, entry.getKey())));
    return most;
  }

  /**
   * What the device did in a phase.
   *
   * @param timeMs of the phase undisturbed
   */
  static DevicePhase phase(List<TracedPhase> runs, double timeMs) {
    return new DevicePhase(
        runs.getLast().phase(),
        runs.getLast().record().launches().size(),
        median(runs, run -> nanos(run, true)) / MILLI,
        median(runs, run -> nanos(run, false)) / MILLI,
        median(runs, KernelTimes::idleNanos) / MILLI,
        median(runs, KernelTimes::idlePercent),
        median(runs, TracedPhase::hostNanos) / MILLI,
        timeMs);
  }

  private static double median(List<TracedPhase> runs, ToDoubleFunction<TracedPhase> figure) {
    return Statistics.median(runs.stream().mapToDouble(figure).toArray());
  }

  private static long nanos(TracedPhase run, boolean computing) {
    return run.record().launches().stream()
        .filter(launch -> launch.computes() == computing)
        .mapToLong(Launch::nanos)
        .sum();
  }

  /** From the start of the first launch to the end of the last. */
  private static long spanNanos(TracedPhase run) {
    List<Launch> launches = run.record().launches();
    return launches.isEmpty()
        ? 0
        : launches.getLast().endNanos() - launches.getFirst().startNanos();
  }

  @Metric(
      name = "idle",
      unit = "%",
      formula =
          "100 * (1 - sum of launches' times / (end of the last launch - start of the first)), each"
              + " launch recorded")
  private static double idlePercent(TracedPhase run) {
    return 100.0 * idleNanos(run) / Math.max(1, spanNanos(run));
  }

  private static long idleNanos(TracedPhase run) {
    return spanNanos(run) - nanos(run, true) - nanos(run, false);
  }
}
