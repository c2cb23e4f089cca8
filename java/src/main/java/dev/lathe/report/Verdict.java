package dev.lathe.report;

import dev.lathe.report.Stage.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * What a reader should know who reads nothing else.
 *
 * @param headline what was gained and what it cost, one sentence
 * @param gained, cost, rejected, failed the same in figures; {@code failed} names checks that do
 *     not hold
 */
record Verdict(
    String headline,
    List<String> gained,
    List<String> cost,
    List<String> rejected,
    List<String> failed) {

  static Verdict of(OptimizeResults results) {
    Stage model = results.acceptedModel();
    Optional<Stage> cached = results.stage(Kind.KV_CACHE).filter(Stage::accepted);
    Optional<Stage> batched = results.stage(Kind.BATCH).filter(Stage::accepted);
    return new Verdict(
        headline(results, model, cached),
        gained(results, model, cached, batched),
        cost(results, model),
        rejected(results),
        results.checks().stream()
            .filter(check -> !check.passed())
            .map(check -> check.name() + ": " + check.detail())
            .toList());
  }

  private static String headline(OptimizeResults results, Stage model, Optional<Stage> cached) {
    List<String> gains = new ArrayList<>();
    double smaller = (double) results.baseline().bytes() / model.bytes();
    if (smaller > 1.005) {
      gains.add(Figures.number(smaller) + " times smaller");
    }
    OptionalDouble speedup = cached.map(Stage::speedup).orElse(model.speedup());
    if (speedup.isPresent() && speedup.getAsDouble() > 1.005) {
      gains.add(Figures.number(speedup.getAsDouble()) + " times faster");
    }
    cacheRatio(results.baseline(), model)
        .filter(ratio -> ratio > 1.005)
        .ifPresent(
            ratio -> gains.add("with a KV-cache " + Figures.number(ratio) + " times smaller"));
    if (gains.isEmpty()) {
      return "Nothing was gained: the model stays as it was";
    }
    String last = gains.removeLast();
    String gained = gains.isEmpty() ? last : String.join(", ", gains) + " and " + last;
    String sentence = gained.substring(0, 1).toUpperCase(java.util.Locale.ROOT);
    return sentence + gained.substring(1) + price(model);
  }

  /** Bytes of a token in the KV-cache before, over those now; empty where either is not known. */
  private static Optional<Double> cacheRatio(Stage before, Stage now) {
    return before.kvBytesPerToken().isPresent() && now.kvBytesPerToken().isPresent()
        ? Optional.of(
            (double) before.kvBytesPerToken().getAsLong() / now.kvBytesPerToken().getAsLong())
        : Optional.empty();
  }

  private static String price(Stage model) {
    if (model.kind() == Kind.BASELINE) {
      return ", with the weights as they were";
    }
    if (model.quality().isEmpty()) {
      return "; what it cost in quality was not measured";
    }
    double loss = model.quality().get().lossPercent();
    String change = Figures.change(loss).substring(1);
    if (loss == 0 || Figures.change(loss).startsWith("±")) {
      return ", at the same perplexity";
    }
    return loss > 0
        ? ", for " + change + " more perplexity"
        : ", at " + change + " less perplexity";
  }

  private static List<String> gained(
      OptimizeResults results, Stage model, Optional<Stage> cached, Optional<Stage> batched) {
    Stage baseline = results.baseline();
    List<String> gained = new ArrayList<>();
    if (model.bytes() != baseline.bytes()) {
      gained.add(
          "Weights as written: %s → %s (%s)"
              .formatted(
                  Figures.bytes(baseline.bytes()),
                  Figures.bytes(model.bytes()),
                  Figures.ratio((double) baseline.bytes() / model.bytes())));
    }
    cacheRatio(baseline, model)
        .filter(ratio -> ratio != 1)
        .ifPresent(ratio ->
            gained.add(
                "KV-cache, a token: %s → %s (%s)"
                    .formatted(
                        Figures.bytes(baseline.kvBytesPerToken().getAsLong()),
                        Figures.bytes(model.kvBytesPerToken().getAsLong()),
                        Figures.ratio(ratio))));
    cached
        .filter(stage -> stage.tokensPerSecond().isPresent())
        .ifPresent(stage ->
            gained.add(
                "One sequence: %s → %s tokens/s (%s) with the KV-cache"
                    .formatted(
                        plain(stage.baselineTokensPerSecond()),
                        plain(stage.tokensPerSecond()),
                        Figures.orNotMeasured(stage.speedup(), Figures::ratio))));
    batched
        .filter(stage -> stage.tokensPerSecond().isPresent())
        .ifPresent(stage ->
            gained.add(
                "%d sequences together: %s tokens/s%s"
                    .formatted(
                        stage.sequences(),
                        plain(stage.tokensPerSecond()),
                        stage.ownSpeedup().isPresent()
                            ? " (%s of one)"
                                .formatted(Figures.ratio(stage.ownSpeedup().getAsDouble()))
                            : "")));
    return gained;
  }

  private static List<String> cost(OptimizeResults results, Stage model) {
    List<String> cost = new ArrayList<>();
    if (model.kind() == Kind.BASELINE) {
      cost.add("Nothing: no technique that changes the weights was accepted");
      return cost;
    }
    if (model.quality().isEmpty() || results.baseline().quality().isEmpty()) {
      cost.add("Quality: " + Figures.NOT_MEASURED);
      return cost;
    }
    Stage.Quality before = results.baseline().quality().get();
    Stage.Quality after = model.quality().get();
    cost.add(
        "Perplexity %s → %s (%s; up to %s was allowed)"
            .formatted(
                Figures.number(before.perplexity(), 5),
                Figures.number(after.perplexity(), 5),
                Figures.change(after.lossPercent()),
                Figures.change(results.recipe().maxLossPercent())));
    after
        .top1Agreement()
        .ifPresent(share ->
            cost.add(
                "The same most likely token at %s of %s positions"
                    .formatted(
                        Figures.number(100 * share, 4) + " %", Figures.count(after.tokens()))));
    return cost;
  }

  private static List<String> rejected(OptimizeResults results) {
    return results.stages().stream()
        .filter(stage -> !stage.accepted())
        .map(stage -> stage.what() + ": " + stage.reason())
        .toList();
  }

  private static String plain(OptionalDouble value) {
    return Figures.orNotMeasured(value, Figures::number);
  }
}
