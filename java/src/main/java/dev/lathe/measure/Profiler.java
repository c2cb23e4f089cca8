package dev.lathe.measure;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.Profile.Operation;
import dev.lathe.measure.Profile.Phase;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.model.Batch;
import dev.lathe.model.Batch.Logits;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.LongSupplier;

/**
 * Profiles a request, prefill and decode apart: each repetition runs it twice, once undisturbed for
 * its time and once through a {@link TimingBackend} for where the time goes.
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
    return profile(decoder, options, ceilings, progress, System::nanoTime);
  }

  static Profile profile(
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

  /** One run of the request. */
  private record Run(
      long prefillNanos, long decodeNanos, List<Event> prefill, List<Event> decode) {}

  private Profile run(Progress progress) {
    Backend backend = decoder.backend();
    OperationNames names = OperationNames.of(decoder.weights());
    List<Run> plain = new ArrayList<>();
    List<Run> timed = new ArrayList<>();
    long activationBytes;
    double timerNanos;
    try (TimingBackend timing = new TimingBackend(backend, names, clock);
        Decoder view = decoder.over(timing)) {
      long start = clock.getAsLong();
      for (int i = 0;
          i < options.warmups() || clock.getAsLong() - start < options.warmupMillis() * 1_000_000;
          i++) {
        request(decoder, null);
        request(view, timing);
      }
      for (int i = 0; i < options.repetitions(); i++) {
        plain.add(request(decoder, null));
        timed.add(request(view, timing));
        progress.done(i + 1, options.repetitions());
      }
      activationBytes = view.activationBytes();
      timerNanos = timing.overheadNanos();
    }
    List<Operation> ops = new ArrayList<>();
    List<Phase> phases = new ArrayList<>();
    addPhase(PREFILL, plain, timed, phases, ops);
    addPhase(DECODE, plain, timed, phases, ops);
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
    return new Profile(
        Flops.params(decoder.weights()),
        phases.stream().mapToLong(Phase::flops).sum(),
        decoder.weightBytes(),
        facts.kvBytesPerToken(),
        activationBytes,
        ceilings,
        ceilings.ridgeFlopsPerByte(),
        phases,
        ops,
        longest.bound(),
        Advice.of(facts, phases, ops),
        timerNanos);
  }

  /** What advice needs to know besides the times. */
  record Facts(
      Decoder decoder,
      Ceilings ceilings,
      DType cacheType,
      long weightBytes,
      long kvBytesPerToken,
      Options options) {}

  /** Prefill of all sequences at once, then decode steps, one token of each sequence a step. */
  private Run request(Decoder through, TimingBackend timing) {
    SplittableRandom random = new SplittableRandom(options.seed());
    Backend backend = through.backend();
    int vocabulary = through.config().vocabulary();
    int most = options.promptTokens() + options.decodeTokens();
    int pages = options.sequences() * Math.ceilDiv(most, KvCache.PAGE_SIZE);
    List<KvSequence> sequences = new ArrayList<>();
    try (KvCache cache = through.newCache(pages, KvCache.PAGE_SIZE);
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor logits = memory.tensor(DType.F32, options.sequences(), vocabulary);
      Batch prompt = new Batch();
      for (int s = 0; s < options.sequences(); s++) {
        sequences.add(cache.newSequence(most));
        int[] tokens = random.ints(options.promptTokens(), 0, vocabulary).toArray();
        prompt.add(sequences.getLast(), tokens, Logits.LAST);
      }
      backend.synchronize();
      long start = clock.getAsLong();
      through.forward(prompt, cache, logits);
      backend.synchronize();
      long prefilled = clock.getAsLong();
      List<Event> prefill = timing == null ? List.of() : timing.takeEvents();
      long decodeStart = clock.getAsLong();
      for (int i = 0; i < options.decodeTokens(); i++) {
        Batch step = new Batch();
        for (KvSequence sequence : sequences) {
          step.add(sequence, new int[] {random.nextInt(vocabulary)}, Logits.LAST);
        }
        through.forward(step, cache, logits);
      }
      backend.synchronize();
      long end = clock.getAsLong();
      List<Event> decode = timing == null ? List.of() : timing.takeEvents();
      sequences.forEach(KvSequence::close);
      return new Run(prefilled - start, end - decodeStart, prefill, decode);
    }
  }

  private void addPhase(
      String phase, List<Run> plain, List<Run> timed, List<Phase> phases, List<Operation> ops) {
    boolean prefill = phase.equals(PREFILL);
    double[] nanos =
        plain.stream().mapToDouble(r -> prefill ? r.prefillNanos() : r.decodeNanos()).toArray();
    List<List<Event>> events = timed.stream().map(r -> prefill ? r.prefill() : r.decode()).toList();
    List<Operation> mine = operations(phase, events);
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
            Bound.of((double) flops, (double) bytes, timeNanos, ceilings)));
  }

  /** Calls of the same name together; the time of each name is the median over the runs. */
  private List<Operation> operations(String phase, List<List<Event>> runs) {
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
    first.forEach(
        (name, events) -> found.add(operation(phase, name, events, times.get(name), total)));
    found.sort(Comparator.comparingDouble(Operation::timeMs).reversed());
    return found;
  }

  private Operation operation(
      String phase, String name, Collection<Event> events, double nanos, double totalNanos) {
    long flops = events.stream().mapToLong(Event::flops).sum();
    long bytes = events.stream().mapToLong(Event::bytes).sum();
    // Each call on its own has to reach a ceiling; one cannot make up for another.
    double least =
        events.stream()
            .mapToDouble(e -> ceilings.leastNanos((double) e.flops(), (double) e.bytes()))
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
        Bound.of((double) flops, (double) bytes, nanos, ceilings));
  }

  private static Map<String, List<Event>> byName(List<Event> events) {
    Map<String, List<Event>> byName = new LinkedHashMap<>();
    for (Event event : events) {
      byName.computeIfAbsent(event.name(), n -> new ArrayList<>()).add(event);
    }
    return byName;
  }
}
