package dev.lathe.optimize;

import dev.lathe.generate.Engine;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.generate.Generation;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.measure.Metrics;
import dev.lathe.measure.Outcome;
import dev.lathe.measure.Sample;
import dev.lathe.measure.Statistics;
import dev.lathe.model.Decoder;
import dev.lathe.report.Stage.Latency;
import dev.lathe.report.Stage.Quantile;
import dev.lathe.tokenize.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.BiConsumer;
import java.util.stream.DoubleStream;

/**
 * Measures contenders in turns, so that what slows the machine for a while slows all of them: each
 * runs until it is warm, then once in every repetition. Ratios of their medians are claims about
 * the contenders, not about the minute in which each was measured.
 *
 * <p>A generation of few milliseconds is repeated within its repetition: the just-in-time compiler
 * and the clock would otherwise be measured with it.
 */
final class SpeedTrial {
  /**
   * How long each contender runs at least; one generation is the least of both.
   *
   * @param warmupNanos before it counts: compilers settle in that
   * @param repetitionNanos in each repetition
   */
  record Effort(long warmupNanos, long repetitionNanos) {
    static final Effort USUAL = new Effort(1_000_000_000L, 300_000_000L);
  }

  private static final double[] QUANTILES = {0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100};

  /**
   * One way to generate.
   *
   * @param name in the samples
   * @param prompts one sequence each, all at once
   */
  record Contender(String name, Decoder decoder, Cache cache, List<int[]> prompts) {}

  /** The generations of one repetition, one after another; each with a sample per sequence. */
  record Repetition(List<List<Sample>> generations) {

    /** Of all sequences together. */
    double tokensPerSecond() {
      double seconds = generations.stream().mapToDouble(Metrics::spanSeconds).sum();
      return generations.stream().flatMap(List::stream).mapToInt(Sample::outputTokens).sum()
          / seconds;
    }
  }

  /**
   * What came of a contender.
   *
   * @param tokens of each sequence, the same in every generation
   * @param repeatable false where a generation gave other tokens than the one before
   */
  record Outcomes(List<Repetition> repetitions, List<int[]> tokens, boolean repeatable) {

    double[] tokensPerSecond() {
      return repetitions.stream().mapToDouble(Repetition::tokensPerSecond).toArray();
    }

    double medianTokensPerSecond() {
      return Statistics.median(tokensPerSecond());
    }

    double slowest() {
      return DoubleStream.of(tokensPerSecond()).min().orElseThrow();
    }

    double fastest() {
      return DoubleStream.of(tokensPerSecond()).max().orElseThrow();
    }

    /**
     * Beyond what repetitions scatter: the slowest was faster than the other's fastest; or, since
     * both ran in turns and what slows the machine for a while slows both, the mean logarithm of
     * the ratios of repetitions is above 0 by its 95 % interval.
     */
    boolean isClearlyFasterThan(Outcomes other) {
      if (slowest() > other.fastest()) {
        return true;
      }
      double[] mine = tokensPerSecond();
      double[] theirs = other.tokensPerSecond();
      double[] ratios = new double[mine.length];
      for (int i = 0; i < ratios.length; i++) {
        ratios[i] = Math.log(mine[i] / theirs[i]);
      }
      return Statistics.meanInterval(ratios).filter(interval -> interval.low() > 0).isPresent();
    }

    double ttftMillis() {
      return Statistics.median(Metrics.timesToFirstTokenMillis(all()));
    }

    OptionalDouble tpotMillis() {
      double[] times = Metrics.timesPerOutputTokenMillis(all());
      return times.length == 0
          ? OptionalDouble.empty()
          : OptionalDouble.of(Statistics.median(times));
    }

    Latency latency() {
      double[] gaps = Metrics.interTokenMillis(all());
      double[] sorted = gaps.clone();
      Arrays.sort(sorted);
      List<Quantile> quantiles = new ArrayList<>();
      for (double percent : QUANTILES) {
        double position = (sorted.length - 1) * percent / 100;
        quantiles.add(new Quantile(percent / 100, sorted[(int) Math.round(position)]));
      }
      return new Latency(
          Statistics.percentile(50, gaps),
          Statistics.percentile(90, gaps),
          Statistics.percentile(95, gaps),
          Statistics.percentile(99, gaps),
          gaps.length,
          quantiles);
    }

    private List<Sample> all() {
      return repetitions.stream()
          .flatMap(repetition -> repetition.generations().stream())
          .flatMap(List::stream)
          .toList();
    }
  }

  private final Tokenizer tokenizer;
  private final int tokens;
  private final int repetitions;
  private final Effort effort;

  /**
   * @param tokens generated per sequence, greedily, past any end of sequence; at least 2
   */
  SpeedTrial(Tokenizer tokenizer, int tokens, int repetitions, Effort effort) {
    this.effort = effort;
    this.tokenizer = tokenizer;
    this.tokens = tokens;
    this.repetitions = repetitions;
  }

  /** Hears every sample as soon as it is there; warm-ups are not told. */
  interface Witness {
    void sample(Contender contender, int repetition, int sequence, Sample sample);
  }

  /** What is collected of a contender while the trial runs. */
  private static final class Collected {
    private final Contender contender;
    private final List<Repetition> repetitions = new ArrayList<>();
    private List<int[]> tokens;
    private boolean repeatable = true;

    Collected(Contender contender) {
      this.contender = contender;
    }

    List<Sample> add(List<Generation> generations) {
      List<int[]> now = generations.stream().map(Generation::tokens).toList();
      repeatable &= tokens == null || sameTokens(tokens, now);
      tokens = tokens == null ? now : tokens;
      return generations.stream().map(SpeedTrial::sample).toList();
    }
  }

  /**
   * Runs all contenders.
   *
   * @param progress told after each turn of a contender: done, of how many
   */
  Map<Contender, Outcomes> run(
      List<Contender> contenders, Witness witness, BiConsumer<Integer, Integer> progress) {
    List<Collected> records = contenders.stream().map(Collected::new).toList();
    int turns = (1 + repetitions) * contenders.size();
    int done = 0;
    for (Collected record : records) {
      turn(record, effort.warmupNanos());
      progress.accept(++done, turns);
    }
    for (int repetition = 0; repetition < repetitions; repetition++) {
      for (Collected record : records) {
        Repetition observed = turn(record, effort.repetitionNanos());
        record.repetitions.add(observed);
        for (List<Sample> generation : observed.generations()) {
          for (int s = 0; s < generation.size(); s++) {
            witness.sample(record.contender, repetition, s, generation.get(s));
          }
        }
        progress.accept(++done, turns);
      }
    }
    Map<Contender, Outcomes> outcomes = new LinkedHashMap<>();
    for (Collected record : records) {
      outcomes.put(
          record.contender, new Outcomes(record.repetitions, record.tokens, record.repeatable));
    }
    return outcomes;
  }

  /** Generates at least once, and until the time is over. */
  private Repetition turn(Collected record, long nanos) {
    List<List<Sample>> generations = new ArrayList<>();
    long started = System.nanoTime();
    do {
      generations.add(record.add(generate(record.contender)));
    } while (System.nanoTime() - started < nanos);
    return new Repetition(generations);
  }

  /** The tokens of a contender's one sequence, not timed. */
  int[] once(Contender contender) {
    return generate(contender).getFirst().tokens();
  }

  int repetitions() {
    return repetitions;
  }

  private List<Generation> generate(Contender contender) {
    List<GenerationRequest> requests =
        contender.prompts().stream()
            .map(prompt -> GenerationRequest.greedy(prompt, tokens))
            .toList();
    try (Engine engine =
        Engine.sizedFor(
            requests, contender.decoder(), tokenizer, requests.size(), contender.cache())) {
      return engine.generate(requests);
    }
  }

  private static Sample sample(Generation generation) {
    return new Sample(
        generation.submittedNanos(),
        generation.tokenNanos(),
        generation.promptTokens(),
        Outcome.COMPLETED);
  }

  static boolean sameTokens(List<int[]> a, List<int[]> b) {
    if (a.size() != b.size()) {
      return false;
    }
    for (int i = 0; i < a.size(); i++) {
      if (!Arrays.equals(a.get(i), b.get(i))) {
        return false;
      }
    }
    return true;
  }
}
