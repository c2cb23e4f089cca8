package dev.lathe.optimize;

import dev.lathe.measure.Quality;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.report.Stage;
import dev.lathe.report.Stage.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** What must hold of the result as a whole. */
final class FinalChecks {
  /**
   * The same kernels on the same weights: what may differ is how threads split sums of F32 values,
   * whose unit roundoff is 6e-8, and a mean of many tokens.
   */
  private static final double SAME = 1e-6;

  private FinalChecks() {}

  /** The model on the disk is the one that was accepted, and is good enough. */
  static List<Check> quality(Quality written, Stage accepted, double maxLossPercent) {
    double expected = accepted.quality().orElseThrow().perplexity();
    double found = written.perplexity();
    double loss = written.comparison().orElseThrow().lossPercent();
    return List.of(
        new Check(
            "the model as written is the one that was measured",
            Math.abs(found / expected - 1) <= SAME,
            "perplexity %.6f, was %.6f".formatted(found, expected)),
        new Check(
            "quality",
            loss <= maxLossPercent,
            "perplexity %s of %s allowed"
                .formatted(Gate.change(loss), Gate.change(maxLossPercent))));
  }

  static List<Check> targets(Map<Target, Double> targets, List<Stage> stages, Stage accepted) {
    Optional<Stage> cached = accepted(stages, Kind.KV_CACHE);
    Optional<Stage> batched = accepted(stages, Kind.BATCH);
    Stage one = cached.orElse(accepted);
    List<Check> checks = new ArrayList<>();
    targets.forEach((target, wanted) -> {
      OptionalDouble measured =
          switch (target) {
            case MIN_COMPRESSION -> OptionalDouble.of(accepted.compression());
            case MIN_SPEEDUP -> one.speedup();
            case MIN_TOKENS_PER_SECOND -> batched.orElse(one).tokensPerSecond();
            case MAX_TTFT_MS -> one.ttftMs();
            case MAX_TPOT_MS -> one.tpotMs();
          };
      checks.add(
          measured.isPresent()
              ? new Check(
                  target.key(),
                  target.isMet(measured.getAsDouble(), wanted),
                  "wanted %s, measured %.4g".formatted(wanted, measured.getAsDouble()))
              : new Check(target.key(), false, "wanted %s, not measured".formatted(wanted)));
    });
    return checks;
  }

  private static Optional<Stage> accepted(List<Stage> stages, Kind kind) {
    return stages.stream().filter(s -> s.kind() == kind && s.accepted()).findFirst();
  }
}
