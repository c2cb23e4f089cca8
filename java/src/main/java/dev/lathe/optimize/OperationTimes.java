package dev.lathe.optimize;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Ceilings;
import dev.lathe.generate.Engine;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.measure.Bound;
import dev.lathe.measure.OperationNames;
import dev.lathe.measure.Statistics;
import dev.lathe.measure.TimingBackend;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.model.Decoder;
import dev.lathe.report.OptimizeResults.Operation;
import dev.lathe.report.OptimizeResults.Profile;
import dev.lathe.tokenize.Tokenizer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * Where the time of generating a sequence goes, operation by operation: the same prompt and the
 * same number of tokens with and without the KV-cache, so that both can stand side by side. The
 * timer waits for each operation, so sums are more than an undisturbed generation takes.
 */
final class OperationTimes {
  private OperationTimes() {}

  /** What to run. */
  record Request(
      String what, Decoder decoder, Tokenizer tokenizer, Cache cache, int[] prompt, int tokens) {}

  /** Work of one name in one run. */
  private record Total(long calls, double nanos, long flops, long bytes, Arithmetic arithmetic) {
    static Total of(Event event) {
      return new Total(1, event.nanos(), event.flops(), event.bytes(), event.arithmetic());
    }

    Total plus(Total more) {
      return new Total(
          calls + more.calls,
          nanos + more.nanos,
          flops + more.flops,
          bytes + more.bytes,
          arithmetic);
    }

    double peakGflops(Ceilings ceilings) {
      return ceilings.under(arithmetic).peakGflops();
    }
  }

  /**
   * Profiles a generation.
   *
   * @param repetitions after one that warms up; medians are kept
   * @param ceilings of the machine; without them no operation is said to be bound by anything
   * @param advice what to do about it
   * @param trace receives the operations of the last repetition
   */
  static Profile measure(
      Request request,
      int repetitions,
      Optional<Ceilings> ceilings,
      List<String> advice,
      BiConsumer<Integer, Integer> progress,
      Consumer<List<Event>> trace) {
    List<Map<String, Total>> runs = new ArrayList<>();
    OperationNames names = OperationNames.of(request.decoder().weights());
    try (TimingBackend timing =
            new TimingBackend(request.decoder().backend(), names, System::nanoTime);
        Decoder view = request.decoder().over(timing)) {
      for (int i = 0; i <= repetitions; i++) {
        try (Engine engine =
            Engine.sizedFor(
                List.of(GenerationRequest.greedy(request.prompt(), request.tokens())),
                view,
                request.tokenizer(),
                1,
                request.cache())) {
          engine.generate(List.of(GenerationRequest.greedy(request.prompt(), request.tokens())));
        }
        Map<String, Total> run = new LinkedHashMap<>();
        List<Event> events = timing.takeEvents();
        for (Event event : events) {
          run.merge(event.name(), Total.of(event), Total::plus);
        }
        if (i > 0) {
          runs.add(run);
        }
        if (i == repetitions) {
          trace.accept(events);
        }
        progress.accept(i + 1, repetitions + 1);
      }
    }
    List<Operation> ops = operations(runs, ceilings);
    return new Profile(
        request.what(),
        request.tokens(),
        ops,
        bottleneck(ops, ceilings.map(c -> roof(runs.getFirst().values(), c))),
        advice);
  }

  private static List<Operation> operations(
      List<Map<String, Total>> runs, Optional<Ceilings> ceilings) {
    List<Operation> ops = new ArrayList<>();
    for (Map.Entry<String, Total> entry : runs.getFirst().entrySet()) {
      String name = entry.getKey();
      Total work = entry.getValue();
      double nanos =
          Statistics.median(runs.stream().mapToDouble(run -> run.get(name).nanos()).toArray());
      ops.add(
          new Operation(
              name,
              work.calls(),
              nanos / 1e6,
              OptionalLong.of(work.flops()),
              OptionalLong.of(work.bytes()),
              perNano(work.bytes(), nanos, 1),
              perNano(work.flops(), nanos, 1e-3),
              ceilings
                  .map(c ->
                      Bound.of(work.flops(), work.bytes(), nanos, c.under(work.arithmetic()))
                          .toString())
                  .orElse("not measured")));
    }
    ops.sort(Comparator.comparingDouble(Operation::timeMs).reversed());
    return ops;
  }

  /** Per nanosecond is 10^9 per second. */
  private static OptionalDouble perNano(double amount, double nanos, double scale) {
    return nanos > 0 ? OptionalDouble.of(amount / nanos * scale) : OptionalDouble.empty();
  }

  /** That of all operations one after another, each under its own. */
  private static Ceilings roof(Collection<Total> works, Ceilings ceilings) {
    double flops = works.stream().mapToDouble(Total::flops).sum();
    double least = works.stream().mapToDouble(w -> w.flops() / w.peakGflops(ceilings)).sum();
    return flops > 0 ? ceilings.withPeak(flops / least) : ceilings;
  }

  /** The class of all operations together. */
  private static String bottleneck(List<Operation> ops, Optional<Ceilings> ceilings) {
    double flops = ops.stream().mapToDouble(op -> op.flops().orElse(0)).sum();
    double bytes = ops.stream().mapToDouble(op -> op.bytes().orElse(0)).sum();
    double nanos = ops.stream().mapToDouble(op -> 1e6 * op.timeMs()).sum();
    return ceilings
        .map(c ->
            "%s (%.2f FLOP a byte; the ridge is at %.1f)"
                .formatted(Bound.of(flops, bytes, nanos, c), flops / bytes, c.ridgeFlopsPerByte()))
        .orElse("not measured: the machine's ceilings are unknown");
  }
}
