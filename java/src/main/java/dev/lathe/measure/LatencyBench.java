package dev.lathe.measure;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.lathe.error.InvalidInputException;
import dev.lathe.generate.Engine;
import dev.lathe.generate.EngineOptions;
import dev.lathe.generate.Generation;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.measure.Statistics.Interval;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.tokenize.Tokenizer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;

/**
 * Times generation. Variants that are to be compared take turns (A B A B …), so that what the
 * machine does meanwhile falls on all of them, and are compared turn by turn.
 */
public final class LatencyBench {
  private static final int TOKENS_PER_STEP = 512;

  private LatencyBench() {}

  /**
   * One way to generate.
   *
   * @param maxBatch 1: a request is sent when the one before it is done (single stream); more: all
   *     are sent at once and so many run together (offline)
   */
  public record Variant(
      String name, Decoder decoder, Tokenizer tokenizer, EngineOptions.Cache cache, int maxBatch) {}

  /**
   * How often to run.
   *
   * @param warmups turns of every variant that are not recorded
   * @param repetitions recorded turns of every variant
   */
  public record Options(int warmups, int repetitions) {
    public Options {
      if (warmups < 0 || repetitions < 1) {
        throw new InvalidInputException(
            "%d warm-ups and %d repetitions: at least 0 and 1".formatted(warmups, repetitions));
      }
    }
  }

  /**
   * What came of a variant. Latencies are over all its requests and repetitions.
   *
   * @param tokensPerSecond output tokens/s of each repetition; its p50 is the figure to quote
   * @param failures requests that did not complete
   */
  @JsonInclude(JsonInclude.Include.NON_ABSENT)
  public record Result(
      String variant,
      int repetitions,
      int samples,
      int failures,
      Optional<Summary> ttftMs,
      Optional<Summary> tpotMs,
      Optional<Summary> itlMs,
      Optional<Summary> endToEndMs,
      Optional<Summary> tokensPerSecond,
      Optional<Summary> totalTokensPerSecond,
      Optional<Summary> requestsPerSecond) {

    /** Of the repetitions of one variant. */
    public static Result of(List<Repetition> repetitions) {
      List<Sample> samples =
          repetitions.stream().flatMap(repetition -> repetition.samples().stream()).toList();
      return new Result(
          repetitions.getFirst().variant(),
          repetitions.size(),
          samples.size(),
          Metrics.failures(samples),
          Summary.of(Metrics.timesToFirstTokenMillis(samples)),
          Summary.of(Metrics.timesPerOutputTokenMillis(samples)),
          Summary.of(Metrics.interTokenMillis(samples)),
          Summary.of(Metrics.endToEndMillis(samples)),
          Summary.of(
              repetitions.stream()
                  .flatMapToDouble(r -> Metrics.outputTokensPerSecond(r.samples()).stream())
                  .toArray()),
          Summary.of(
              repetitions.stream()
                  .flatMapToDouble(r -> Metrics.totalTokensPerSecond(r.samples()).stream())
                  .toArray()),
          Summary.of(
              repetitions.stream()
                  .flatMapToDouble(r -> Metrics.requestsPerSecond(r.samples()).stream())
                  .toArray()));
    }
  }

  /**
   * How much faster one variant is, by the pairs of turns that followed one another.
   *
   * @param median of the pairs' ratios of output tokens/s
   * @param ci95 of the median; absent for fewer than six pairs
   */
  @JsonInclude(JsonInclude.Include.NON_ABSENT)
  public record Speedup(
      String variant,
      String baseline,
      int pairs,
      double median,
      double min,
      double max,
      Optional<Interval> ci95) {

    /** Pairs repetition i of one with repetition i of the other. */
    public static Speedup of(List<Repetition> variant, List<Repetition> baseline) {
      if (variant.size() != baseline.size() || variant.isEmpty()) {
        throw new IllegalArgumentException(
            "%d and %d repetitions make no pairs".formatted(variant.size(), baseline.size()));
      }
      double[] ratios =
          IntStream.range(0, variant.size())
              .mapToDouble(i -> speed(variant.get(i)) / speed(baseline.get(i)))
              .toArray();
      Summary summary = Summary.of(ratios).orElseThrow();
      return new Speedup(
          variant.getFirst().variant(),
          baseline.getFirst().variant(),
          ratios.length,
          summary.p50(),
          summary.min(),
          summary.max(),
          summary.p50Ci95());
    }

    private static double speed(Repetition repetition) {
      return Metrics.outputTokensPerSecond(repetition.samples()).orElseThrow();
    }
  }

  /**
   * Runs all requests with every variant in turn.
   *
   * @param onRepetition told of each as soon as it is done, to keep it
   * @return the repetitions of each variant, in the order of the variants
   */
  public static List<List<Repetition>> run(
      List<Variant> variants,
      List<GenerationRequest> requests,
      Options options,
      Consumer<Repetition> onRepetition,
      Progress progress) {
    return run(variants, requests, options, onRepetition, progress, System::nanoTime);
  }

  static List<List<Repetition>> run(
      List<Variant> variants,
      List<GenerationRequest> requests,
      Options options,
      Consumer<Repetition> onRepetition,
      Progress progress,
      LongSupplier nanoClock) {
    if (variants.isEmpty() || requests.isEmpty()) {
      throw new IllegalArgumentException("nothing to run");
    }
    List<Engine> engines = new ArrayList<>();
    List<List<Repetition>> results = new ArrayList<>();
    try {
      for (Variant variant : variants) {
        engines.add(engine(variant, requests, nanoClock));
        results.add(new ArrayList<>());
      }
      int turns = options.warmups() + options.repetitions();
      for (int turn = 0; turn < turns; turn++) {
        for (int v = 0; v < variants.size(); v++) {
          List<Sample> samples = samples(variants.get(v), engines.get(v), requests);
          int index = turn - options.warmups();
          if (index >= 0) {
            Repetition repetition = new Repetition(variants.get(v).name(), index, samples);
            results.get(v).add(repetition);
            onRepetition.accept(repetition);
          }
          progress.done((long) turn * variants.size() + v + 1, (long) turns * variants.size());
        }
      }
      return results;
    } finally {
      engines.forEach(Engine::close);
    }
  }

  private static Engine engine(
      Variant variant, List<GenerationRequest> requests, LongSupplier nanoClock) {
    int context = variant.decoder().config().contextLength();
    long longest =
        requests.stream()
            .mapToLong(r -> Math.min((long) r.prompt().length + r.maxTokens(), context))
            .max()
            .orElseThrow();
    int pages = Math.ceilDiv(Math.toIntExact(longest), KvCache.PAGE_SIZE);
    int cacheTokens = Math.multiplyExact(pages * KvCache.PAGE_SIZE, variant.maxBatch());
    return new Engine(
        variant.decoder(),
        variant.tokenizer(),
        new EngineOptions(
            variant.maxBatch(),
            variant.cache(),
            cacheTokens,
            TOKENS_PER_STEP,
            KvCache.PAGE_SIZE,
            nanoClock));
  }

  private static List<Sample> samples(
      Variant variant, Engine engine, List<GenerationRequest> requests) {
    if (variant.maxBatch() > 1) {
      return engine.generate(requests).stream().map(LatencyBench::sample).toList();
    }
    List<Sample> samples = new ArrayList<>();
    for (GenerationRequest request : requests) {
      samples.add(sample(engine.generate(List.of(request)).getFirst()));
    }
    return samples;
  }

  /** What a generation's times say; those of the engine are taken when a token is on the host. */
  public static Sample sample(Generation generation) {
    return new Sample(
        generation.submittedNanos(),
        generation.tokenNanos(),
        generation.promptTokens(),
        Outcome.COMPLETED);
  }
}
