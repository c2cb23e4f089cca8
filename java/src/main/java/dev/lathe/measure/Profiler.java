package dev.lathe.measure;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.Profile.DevicePhase;
import dev.lathe.measure.Profile.Kernel;
import dev.lathe.measure.Profile.Operation;
import dev.lathe.measure.Profile.Phase;
import dev.lathe.measure.ProfiledRequest.Times;
import dev.lathe.measure.ProfiledRequest.Watch;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.model.Decoder;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * Profiles a request, prefill and decode apart: each repetition runs it undisturbed for its time,
 * through a {@link TimingBackend} for where the time goes, operation by operation, and where the
 * device records its launches, with every launch recorded.
 */
public final class Profiler {
  static final String PREFILL = "prefill";
  static final String DECODE = "decode";

  /**
   * What to run.
   *
   * @param promptTokens of each sequence, random ones from the seed
   * @param decodeTokens that each sequence then takes one by one
   * @param sequences that run together
   * @param warmups runs before those that count, at least
   * @param warmupMillis time that the warm-up runs take, at least: the JVM compiles meanwhile
   * @param repetitions of which medians are taken
   */
  public record Options(
      int promptTokens,
      int decodeTokens,
      int sequences,
      int warmups,
      long warmupMillis,
      int repetitions,
      long seed) {
    public Options {
      if (promptTokens < 1
          || decodeTokens < 1
          || sequences < 1
          || warmups < 0
          || warmupMillis < 0
          || repetitions < 1) {
        throw new InvalidInputException(
            "a profile needs at least one prompt token, one token to decode, one sequence and one"
                + " repetition");
      }
    }

    /** Warm-up runs take a second and a half at least. */
    public Options(
        int promptTokens,
        int decodeTokens,
        int sequences,
        int warmups,
        int repetitions,
        long seed) {
      this(promptTokens, decodeTokens, sequences, warmups, 1500, repetitions, seed);
    }

    /** A prompt of half the context (128 at most), then up to 32 tokens, one sequence. */
    public static Options forContext(int contextLength, long seed) {
      int prompt = Math.clamp(contextLength / 2, 1, 128);
      return new Options(prompt, Math.clamp(contextLength - prompt, 1, 32), 1, 1, 7, seed);
    }
  }

  private final Decoder decoder;
  private final Options options;
  private final Ceilings ceilings;
  private final LongSupplier clock;

  private Profiler(Decoder decoder, Options options, Ceilings ceilings, LongSupplier clock) {
    this.decoder = decoder;
    this.options = options;
    this.ceilings = ceilings;
    this.clock = clock;
  }

  /**
   * Profiles a decoder.
   *
   * @param ceilings measured on the same device with the same number of threads
   * @param progress told after every repetition
   * @throws InvalidInputException if prompt and decode do not fit the model's context
   */
  public static Profile profile(
      Decoder decoder, Options options, Ceilings ceilings, Progress progress) {
    return measure(decoder, options, ceilings, progress, System::nanoTime).profile();
  }

  /** A profile, and the last repetition as it ran, for a trace. */
  public static Profiled traced(
      Decoder decoder, Options options, Ceilings ceilings, Progress progress) {
    return measure(decoder, options, ceilings, progress, System::nanoTime);
  }

  static Profiled measure(
      Decoder decoder,
      Options options,
      Ceilings ceilings,
      Progress progress,
      LongSupplier nanoClock) {
    int context = decoder.config().contextLength();
    if (options.promptTokens() + options.decodeTokens() > context) {
      throw new InvalidInputException(
          "%d prompt tokens and %d to decode do not fit the model's context of %d"
              .formatted(options.promptTokens(), options.decodeTokens(), context));
    }
    return new Profiler(decoder, options, ceilings, nanoClock).run(progress);
  }

  /** One run of the request, operation by operation. */
  private record Timed(List<Event> prefill, List<Event> decode) {
    List<Event> of(String phase) {
      return phase.equals(PREFILL) ? prefill : decode;
    }
  }

  private Profiled run(Progress progress) {
    Backend backend = decoder.backend();
    OperationNames names = OperationNames.of(decoder.weights());
    List<Times> plain = new ArrayList<>();
    List<Timed> timed = new ArrayList<>();
    LaunchRecorder launches = LaunchRecorder.open(decoder, names, options);
    long activationBytes;
    double timerNanos;
    try (launches;
        TimingBackend timing = new TimingBackend(backend, names, clock);
        Decoder view = decoder.over(timing)) {
      long start = clock.getAsLong();
      for (int i = 0;
          i < options.warmups() || clock.getAsLong() - start < options.warmupMillis() * 1_000_000;
          i++) {
        ProfiledRequest.run(decoder, options, clock, Watch.NONE);
        timed(view, timing);
        launches.warmUp();
      }
      for (int i = 0; i < options.repetitions(); i++) {
        plain.add(ProfiledRequest.run(decoder, options, clock, Watch.NONE));
        timed.add(timed(view, timing));
        launches.run();
        progress.done(i + 1, options.repetitions());
      }
      activationBytes = view.activationBytes();
      timerNanos = timing.overheadNanos();
    }
    List<Operation> ops = new ArrayList<>();
    List<Phase> phases = new ArrayList<>();
    List<Kernel> kernels = new ArrayList<>();
    List<DevicePhase> devicePhases = new ArrayList<>();
    for (String phase : List.of(PREFILL, DECODE)) {
      List<Event> costs = timed.getLast().of(phase);
      addPhase(phase, plain, timed, launches.arithmetic(phase), phases, ops);
      kernels.addAll(launches.kernels(phase, costs, ceilings));
      launches.phase(phase, phases.getLast().timeMs()).ifPresent(devicePhases::add);
    }
    Phase longest = phases.stream().max(Comparator.comparingDouble(Phase::timeMs)).orElseThrow();
    DType cacheType = decoder.cacheType();
    Facts facts =
        new Facts(
            decoder,
            ceilings,
            cacheType,
            decoder.weightBytes(),
            Bytes.keyValuePerToken(decoder.config(), cacheType),
            options);
    Profile profile =
        new Profile(
            Flops.params(decoder.weights()),
            phases.stream().mapToLong(Phase::flops).sum(),
            decoder.weightBytes(),
            cacheType.label(),
            facts.kvBytesPerToken(),
            activationBytes,
            ceilings,
            ceilings.ridgeFlopsPerByte(),
            phases,
            ops,
            longest.bound(),
            Advice.of(facts, phases, ops),
            timerNanos,
            kernels,
            devicePhases,
            launches.emptyNanos());
    List<Event> events = new ArrayList<>(timed.getLast().prefill());
    events.addAll(timed.getLast().decode());
    return new Profiled(profile, plain, events, launches.last());
  }

  private Timed timed(Decoder view, TimingBackend timing) {
    Map<String, List<Event>> events = new LinkedHashMap<>();
    ProfiledRequest.run(
        view,
        options,
        clock,
        new Watch() {
          @Override
          public void end(String phase) {
            events.put(phase, timing.takeEvents());
          }
        });
    return new Timed(events.get(PREFILL), events.get(DECODE));
  }

  /** What advice needs to know besides the times. */
  record Facts(
      Decoder decoder,
      Ceilings ceilings,
      DType cacheType,
      long weightBytes,
      long kvBytesPerToken,
      Options options) {}

  private void addPhase(
      String phase,
      List<Times> plain,
      List<Timed> timed,
      Map<String, Arithmetic> arithmetic,
      List<Phase> phases,
      List<Operation> ops) {
    boolean prefill = phase.equals(PREFILL);
    double[] nanos = plain.stream().mapToDouble(times -> times.of(phase)).toArray();
    List<List<Event>> events = timed.stream().map(run -> run.of(phase)).toList();
    List<Operation> mine = operations(phase, events, arithmetic);
    ops.addAll(mine);
    double timeNanos = Statistics.median(nanos);
    long flops = mine.stream().mapToLong(Operation::flops).sum();
    long bytes = mine.stream().mapToLong(Operation::bytes).sum();
    int steps = prefill ? 1 : options.decodeTokens();
    int tokens = prefill ? options.promptTokens() : options.decodeTokens();
    phases.add(
        new Phase(
            phase,
            options.sequences(),
            steps,
            (long) tokens * options.sequences(),
            flops,
            bytes,
            timeNanos / 1e6,
            mine.stream().mapToDouble(Operation::timeMs).sum(),
            mine.stream().mapToDouble(Operation::leastMs).sum(),
            bytes / timeNanos,
            flops / timeNanos / 1e3,
            (double) flops / bytes,
            Bound.of((double) flops, (double) bytes, timeNanos, Roof.of(mine, ceilings))));
  }

  /** Calls of the same name together; the time of each name is the median over the runs. */
  private List<Operation> operations(
      String phase, List<List<Event>> runs, Map<String, Arithmetic> arithmetic) {
    Map<String, List<Event>> first = byName(runs.getFirst());
    Map<String, Double> times = new LinkedHashMap<>();
    for (String name : first.keySet()) {
      double[] sums =
          runs.stream()
              .mapToDouble(run -> byName(run).get(name).stream().mapToDouble(Event::nanos).sum())
              .toArray();
      times.put(name, Statistics.median(sums));
    }
    double total = times.values().stream().mapToDouble(t -> t).sum();
    List<Operation> found = new ArrayList<>();
    first.forEach((name, events) ->
        found.add(
            operation(
                phase,
                name,
                events,
                times.get(name),
                total,
                arithmetic.getOrDefault(name, events.getFirst().arithmetic()))));
    found.sort(Comparator.comparingDouble(Operation::timeMs).reversed());
    return found;
  }

  private Operation operation(
      String phase,
      String name,
      Collection<Event> events,
      double nanos,
      double totalNanos,
      Arithmetic arithmetic) {
    Ceilings roof = ceilings.under(arithmetic);
    long flops = events.stream().mapToLong(Event::flops).sum();
    long bytes = events.stream().mapToLong(Event::bytes).sum();
    // Each call on its own has to reach a ceiling; one cannot make up for another.
    double least =
        events.stream()
            .mapToDouble(e -> roof.leastNanos((double) e.flops(), (double) e.bytes()))
            .sum();
    return new Operation(
        phase,
        name,
        events.size(),
        nanos / 1e6,
        100 * nanos / totalNanos,
        flops,
        bytes,
        least / 1e6,
        bytes / nanos,
        flops / nanos / 1e3,
        (double) flops / bytes,
        Bound.of((double) flops, (double) bytes, nanos, roof),
        arithmetic.toString(),
        roof.peakGflops());
  }

  private static Map<String, List<Event>> byName(List<Event> events) {
    Map<String, List<Event>> byName = new LinkedHashMap<>();
    for (Event event : events) {
      byName.computeIfAbsent(event.name(), n -> new ArrayList<>()).add(event);
    }
    return byName;
  }
}
