package dev.lathe.optimize;

import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.measure.BuildVersion;
import dev.lathe.measure.Definition;
import dev.lathe.measure.EvalText;
import dev.lathe.measure.Fingerprint;
import dev.lathe.measure.Flops;
import dev.lathe.measure.RunFolder;
import dev.lathe.model.ModelConfig;
import dev.lathe.report.OptimizeResults;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.report.OptimizeResults.Conditions;
import dev.lathe.report.OptimizeResults.Cost;
import dev.lathe.report.OptimizeResults.Formula;
import dev.lathe.report.Reports;
import dev.lathe.report.Stage;
import dev.lathe.report.Stage.Kind;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Puts everything that is known at the end of a run into its results. */
record ResultsBuilder(
    Plan plan,
    OpenedBackend opened,
    LoadedModel baseline,
    RunFolder folder,
    Journal journal,
    EvalText text,
    Prompts prompts,
    SpeedTrial trial) {

  private static final List<Formula> OWN =
      List.of(
          new Formula("compression", "4 bytes × parameters / bytes of the weights file as written"),
          new Formula("loss", "100 (perplexity / baseline perplexity − 1), percent"),
          new Formula(
              "speed-up",
              "median tokens/s / the baseline's median tokens/s, repetitions of both in turns"),
          new Formula("perplexity", "exp(mean NLL over all scored tokens)"),
          new Formula(
              "standard error of the perplexity",
              "perplexity × standard error of the mean NLL over documents"));

  /**
   * @param model the run's own model; absent where no technique was accepted
   */
  OptimizeResults build(Optional<Path> model, List<Check> checks) {
    ModelConfig config = baseline.decoder().config();
    return new OptimizeResults(
        model
            .map(path -> folder.path().relativize(path).toString())
            .orElse(plan.request().model().toString()),
        Reports.HTML,
        checks.stream().allMatch(Check::passed),
        new OptimizeResults.Subject(
            plan.request().model().toString(),
            baseline.checkpoint().hash(),
            config.architecture(),
            Flops.params(baseline.decoder().weights()),
            config.layers(),
            config.hidden(),
            config.vocabulary(),
            config.contextLength(),
            baseline.kvBytesPerToken()),
        new OptimizeResults.Plan(
            plan.recipe().name(),
            plan.recipe().source(),
            plan.maxLossPercent(),
            plan.steps().stream().map(Plan.Step::description).toList()),
        new OptimizeResults.Evaluation(
            plan.text().toString(),
            plan.textHash(),
            plan.separator(),
            text.sequences().size(),
            text.predictedTokens()),
        new OptimizeResults.Generation(
            prompts.first().length, prompts.tokens(), trial.repetitions()),
        journal.stages(),
        checks,
        journal.profileBefore(),
        journal.profileAfter(),
        cost(),
        conditions(),
        formulas());
  }

  private Optional<Cost> cost() {
    // The baseline as it was measured beside what it is compared with.
    OptionalDouble before =
        accepted(Kind.KV_CACHE).orElse(journal.stages().getFirst()).baselineTokensPerSecond();
    if (plan.pricePerHour().isEmpty() || before.isEmpty()) {
      return Optional.empty();
    }
    Recipe.Cost cost = plan.recipe().cost();
    return Optional.of(
        CostImpact.of(
            plan.pricePerHour().getAsDouble(),
            cost.currency(),
            cost.queriesPerDay(),
            prompts.tokens(),
            before.getAsDouble(),
            speed(Kind.KV_CACHE),
            speed(Kind.BATCH)));
  }

  private OptionalDouble speed(Kind kind) {
    return accepted(kind).map(Stage::tokensPerSecond).orElse(OptionalDouble.empty());
  }

  private Optional<Stage> accepted(Kind kind) {
    return journal.stages().stream()
        .filter(stage -> stage.kind() == kind && stage.accepted())
        .findFirst();
  }

  private Conditions conditions() {
    Fingerprint run = folder.fingerprint();
    DeviceInfo device = opened.backend().device();
    BuildVersion build = run.lathe();
    return new Conditions(
        "lathe " + build.version(),
        build.commit().orElse("unknown"),
        "%s, %d cores".formatted(run.machine().cpu(), run.machine().cores()),
        run.machine().os(),
        run.machine().jdk(),
        opened.backend().name(),
        opened.reason(),
        device.name(),
        device.features(),
        device.memoryBytes() > 0 ? OptionalLong.of(device.memoryBytes()) : OptionalLong.empty(),
        device.threads() > 0 ? OptionalInt.of(device.threads()) : OptionalInt.empty(),
        plan.request().cpuKernels(),
        plan.request().seed(),
        run.startedAt(),
        Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
        journal.resumed());
  }

  private List<Formula> formulas() {
    List<Formula> formulas = new ArrayList<>(OWN);
    if (plan.pricePerHour().isPresent()) {
      formulas.addAll(CostImpact.FORMULAS);
    }
    for (Definition metric : Definition.all()) {
      formulas.add(
          new Formula("%s (%s)".formatted(metric.name(), metric.unit()), metric.formula()));
    }
    return formulas;
  }
}
