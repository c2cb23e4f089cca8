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
 * runs once to warm up, then once in every repetition. Ratios of their medians are claims about the
 * contenders, not about the minute in which each was measured.
 */
final class SpeedTrial {
  static final int WARMUPS = 1;

  private static final double[] QUANTILES = {0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100};

  /**
   * One way to generate.
   *
   * @param name in the samples
   * @param prompts one sequence each, all at once
   */
  record Contender(String name, Decoder decoder, Cache cache, List<int[]> prompts) {}

  /**
   * What came of a contender.
   *
   * @param repetitions the samples of each, all sequences that ran together
   * @param tokens of each sequence, the same in every repetition
   * @param repeatable false where a repetition gave other tokens than the one before
   */
  record Outcomes(List<List<Sample>> repetitions, List<int[]> tokens, boolean repeatable) {

    /** Of all sequences together, one figure a repetition. */
    double[] tokensPerSecond() {
      return repetitions.stream()
          .mapToDouble(samples -> Metrics.outputTokensPerSecond(samples).orElseThrow())
          .toArray();
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
      return repetitions.stream().flatMap(List::stream).toList();
    }
  }

  private final Tokenizer tokenizer;
  private final int tokens;
  private final int repetitions;

  /**
   * @param tokens generated per sequence, greedily, past any end of sequence; at least 2
   */
  SpeedTrial(Tokenizer tokenizer, int tokens, int repetitions) {
    this.tokenizer = tokenizer;
    this.tokens = tokens;
    this.repetitions = repetitions;
  }

  /** Hears every sample as soon as it is there; warm-ups are not told. */
  interface Witness {
    void sample(Contender contender, int repetition, int sequence, Sample sample);
  }

  /**
   * Runs all contenders.
   *
   * @param progress told after each generation: done, of how many
   */
  Map<Contender, Outcomes> run(
      List<Contender> contenders, Witness witness, BiConsumer<Integer, Integer> progress) {
    Map<Contender, List<List<Sample>>> samples = new LinkedHashMap<>();
    Map<Contender, List<int[]>> generated = new LinkedHashMap<>();
    Map<Contender, Boolean> repeatable = new LinkedHashMap<>();
    int rounds = WARMUPS + repetitions;
    int done = 0;
    for (int round = 0; round < rounds; round++) {
      for (Contender contender : contenders) {
        List<Generation> generations = generate(contender);
        List<int[]> now = generations.stream().map(Generation::tokens).toList();
        List<int[]> before = generated.putIfAbsent(contender, now);
        boolean same = before == null || sameTokens(before, now);
        repeatable.merge(contender, same, Boolean::logicalAnd);
        if (round >= WARMUPS) {
          List<Sample> observed = generations.stream().map(SpeedTrial::sample).toList();
          samples.computeIfAbsent(contender, c -> new ArrayList<>()).add(observed);
          for (int s = 0; s < observed.size(); s++) {
            witness.sample(contender, round - WARMUPS, s, observed.get(s));
          }
        }
        progress.accept(++done, rounds * contenders.size());
      }
    }
    Map<Contender, Outcomes> outcomes = new LinkedHashMap<>();
    for (Contender contender : contenders) {
      outcomes.put(
          contender,
          new Outcomes(
              samples.get(contender), generated.get(contender), repeatable.get(contender)));
    }
    return outcomes;
  }

  /** The tokens of a contender's one sequence, not timed. */
  int[] once(Contender contender) {
    return generate(contender).getFirst().tokens();
  }

  int repetitions() {
    return repetitions;
  }

  /** Repetitions and those that warm up. */
  int rounds() {
    return WARMUPS + repetitions;
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
