package dev.lathe.optimize;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.measure.EvalText;
import dev.lathe.measure.Profiler;
import dev.lathe.measure.Quality;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.Trace;
import dev.lathe.model.Decoder;
import dev.lathe.optimize.SpeedTrial.Contender;
import dev.lathe.optimize.SpeedTrial.Outcomes;
import dev.lathe.report.OptimizeResults;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.report.OptimizeResults.Profile;
import dev.lathe.report.Stage;
import dev.lathe.tokenize.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One run, stage by stage. A stage is decided once its result is in the journal; what an
 * interrupted stage left behind is removed and the stage run again.
 */
final class OptimizeRun {
  static final String BASELINE = "baseline";
  static final String KV_CACHE = "kv-cache";

  private final Plan plan;
  private final ProgressSink sink;
  private final OpenedBackend opened;
  private final Backend backend;
  private final LoadedModel baseline;
  private final RunFolder folder;
  private final Journal journal;
  private final StepFolders steps;
  private final Tokenizer tokenizer;
  private final EvalText text;
  private final Prompts prompts;
  private final SpeedTrial trial;
  private final Samples samples;
  private final Stages stages;
  private final StepWork work;

  OptimizeRun(
      Plan plan,
      ProgressSink sink,
      OpenedBackend opened,
      LoadedModel baseline,
      Inputs inputs,
      RunFolder folder,
      Journal journal,
      SpeedTrial.Effort effort) {
    this.plan = plan;
    this.sink = sink;
    this.opened = opened;
    this.backend = opened.backend();
    this.baseline = baseline;
    this.folder = folder;
    this.journal = journal;
    this.steps = new StepFolders(folder);
    this.tokenizer = inputs.tokenizer();
    this.text = inputs.text();
    this.prompts = inputs.prompts();
    this.trial =
        new SpeedTrial(
            tokenizer, prompts.tokens(), plan.recipe().generation().repetitions(), effort);
    this.samples = new Samples(folder, journal.resumed());
    this.stages = new Stages(baseline);
    this.work = new StepWork(plan, sink, backend, baseline, inputs, steps);
  }

  OptimizeResults run() {
    steps.keepOnly(journal.acceptedStep());
    decide(BASELINE, this::baseline);
    if (journal.profileBefore().isEmpty()) {
      journal.profileBefore(
          profile(
              baseline.decoder(),
              Cache.NONE,
              "the baseline without a KV-cache",
              "trace-baseline.json"));
    }
    for (int i = 0; i < plan.steps().size(); i++) {
      Plan.Step step = plan.steps().get(i);
      String stepFolder = "%d-%s".formatted(i + 1, step.name());
      decide(step.name(), () -> technique(step, stepFolder));
    }
    Recipe.Speed generation = plan.recipe().generation();
    try (LoadedModel accepted = openAccepted()) {
      Decoder decoder = accepted == null ? baseline.decoder() : accepted.decoder();
      if (generation.kvCache()) {
        decide(KV_CACHE, () -> cached(decoder));
      }
      if (generation.batch() > 1) {
        decide("batch-" + generation.batch(), () -> batched(decoder, generation.batch()));
      }
      if (journal.profileAfter().isEmpty()) {
        boolean cache = journal.find(KV_CACHE).map(Stage::accepted).orElse(false);
        journal.profileAfter(
            profile(
                decoder,
                cache ? Cache.KV : Cache.NONE,
                "the accepted model " + (cache ? "with" : "without") + " the KV-cache",
                "trace.json"));
      }
    }
    return finish();
  }

  /** What a stage has found out, before it is written down. */
  private record Decided(Stage stage, Optional<String> step, Optional<Check> check) {}

  @FunctionalInterface
  private interface StageWork {
    Decided run();
  }

  private void decide(String name, StageWork work) {
    Optional<Stage> before = journal.find(name);
    if (before.isPresent()) {
      sink.decided(before.get(), true);
      return;
    }
    Decided decided = work.run();
    journal.decided(decided.stage(), decided.step(), decided.check());
    steps.keepOnly(journal.acceptedStep());
    sink.decided(decided.stage(), false);
  }

  private Decided baseline() {
    sink.begin("baseline: evaluate");
    Quality quality = Quality.of(baseline.decoder(), text, this::progress);
    samples.documents(BASELINE, quality);
    Contender naive = naive(BASELINE, baseline.decoder());
    Outcomes speed = speeds(BASELINE, List.of(naive)).get(naive);
    Stage stage = stages.baseline(quality, speed);
    Check check =
        new Check(
            "the same tokens in every repetition",
            speed.repeatable(),
            speed.repeatable()
                ? "all of %d tokens, warm-up and %d repetitions"
                    .formatted(prompts.tokens(), trial.repetitions())
                : "greedy generation of the baseline gave different tokens");
    return new Decided(stage, Optional.empty(), Optional.of(check));
  }

  private Decided technique(Plan.Step step, String stepFolder) {
    Path out = steps.path(stepFolder);
    Path before = acceptedPath();
    Optional<String> refusal = refusal(step, before);
    if (refusal.isPresent()) {
      Stage skipped = stages.notApplicable(acceptedStage(), step, refusal.get());
      return new Decided(skipped, journal.acceptedStep(), Optional.empty());
    }
    StepWork.Applied applied = work.apply(step, before, out);
    try (LoadedModel candidate = LoadedModel.open(out, backend)) {
      sink.begin(applied.what() + ": evaluate");
      Quality quality = Quality.of(candidate.decoder(), baseline.decoder(), text, this::progress);
      samples.documents(step.name(), quality);
      Stage.Quality lost = Stages.quality(quality);
      Optional<Gate.Decision> refused = Gate.tooMuchLost(lost, plan.maxLossPercent());
      Optional<Trial> speed =
          refused.isPresent() ? Optional.empty() : Optional.of(race(step.name(), candidate));
      Gate.Decision decision =
          refused.orElseGet(() -> {
            Trial found = speed.orElseThrow();
            return Gate.worthHaving(
                lost,
                plan.maxLossPercent(),
                Gate.Size.of(candidate.checkpoint(), candidate.kvBytesPerToken()),
                incumbentSize(before),
                found.ownSpeedup(),
                found.candidate().isClearlyFasterThan(found.incumbent()));
          });
      Stage stage = stages.technique(step, applied, decision, candidate, lost, speed);
      return new Decided(
          stage,
          decision.accepted() ? Optional.of(stepFolder) : journal.acceptedStep(),
          Optional.empty());
    }
  }

  private Optional<String> refusal(Plan.Step step, Path model) {
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      return step.technique().refusal(checkpoint, backend);
    }
  }

  /** Speeds of three models that generated in turns; the incumbent may be the baseline. */
  record Trial(Outcomes baseline, Outcomes incumbent, Outcomes candidate) {
    double ownSpeedup() {
      return candidate.medianTokensPerSecond() / incumbent.medianTokensPerSecond();
    }
  }

  /** All without a KV-cache, as the baseline is: so speed-ups of techniques add up. */
  private Trial race(String stage, LoadedModel candidate) {
    try (LoadedModel accepted = openAccepted()) {
      Contender first = naive(BASELINE, baseline.decoder());
      Contender second = accepted == null ? first : naive("incumbent", accepted.decoder());
      Contender third = naive("candidate", candidate.decoder());
      Map<Contender, Outcomes> found =
          speeds(stage, accepted == null ? List.of(first, third) : List.of(first, second, third));
      return new Trial(found.get(first), found.get(second), found.get(third));
    }
  }

  private Decided cached(Decoder decoder) {
    Contender first = naive(BASELINE, baseline.decoder());
    boolean isBaseline = decoder == baseline.decoder();
    Contender without = isBaseline ? first : naive("without cache", decoder);
    Contender with = new Contender("with cache", decoder, Cache.KV, List.of(prompts.first()));
    Map<Contender, Outcomes> found =
        speeds(KV_CACHE, isBaseline ? List.of(first, with) : List.of(first, without, with));
    Trial speed = new Trial(found.get(first), found.get(without), found.get(with));
    Check same =
        TokenEquality.check(
            "the same tokens with and without the KV-cache",
            found.get(without).tokens(),
            found.get(with).tokens());
    return new Decided(
        stages.cached(acceptedStage(), speed, same), journal.acceptedStep(), Optional.of(same));
  }

  private Decided batched(Decoder decoder, int sequences) {
    String name = "batch-" + sequences;
    Optional<Stage> cache = journal.find(KV_CACHE);
    if (cache.isPresent() && !cache.get().accepted()) {
      Stage skipped = stages.notBatched(acceptedStage(), name, sequences);
      return new Decided(skipped, journal.acceptedStep(), Optional.empty());
    }
    Contender first = naive(BASELINE, baseline.decoder());
    Contender one = new Contender("one sequence", decoder, Cache.KV, List.of(prompts.first()));
    Contender all = new Contender(name, decoder, Cache.KV, prompts.take(sequences));
    Map<Contender, Outcomes> found = speeds(name, List.of(first, one, all));
    sink.begin(name + ": compare with one sequence at a time");
    List<int[]> alone = new ArrayList<>();
    for (int[] prompt : prompts.take(sequences)) {
      alone.add(trial.once(new Contender("alone", decoder, Cache.KV, List.of(prompt))));
      sink.progress(alone.size(), sequences);
    }
    Check same =
        TokenEquality.check("the same tokens in a batch as alone", alone, found.get(all).tokens());
    Trial speed = new Trial(found.get(first), found.get(one), found.get(all));
    return new Decided(
        stages.batched(acceptedStage(), name, sequences, speed, same),
        journal.acceptedStep(),
        Optional.of(same));
  }

  private OptimizeResults finish() {
    steps.publish(journal.acceptedStep());
    List<Check> checks = new ArrayList<>(journal.checks());
    try (LoadedModel written = openAccepted()) {
      Decoder decoder = written == null ? baseline.decoder() : written.decoder();
      if (written != null) {
        sink.begin("final: evaluate the model as written");
        Quality quality = Quality.of(decoder, baseline.decoder(), text, this::progress);
        samples.documents("final", quality);
        checks.addAll(FinalChecks.quality(quality, acceptedStage(), plan.maxLossPercent()));
      }
      sink.begin("final: edge cases");
      checks.add(EdgeCases.run(decoder, tokenizer, prompts.first()));
    }
    checks.addAll(FinalChecks.targets(plan.targets(), journal.stages(), acceptedStage()));
    return new ResultsBuilder(plan, opened, baseline, folder, journal, text, prompts, trial)
        .build(steps.model(), checks);
  }

  private Profile profile(Decoder decoder, Cache cache, String what, String traceFile) {
    sink.begin("profile " + what);
    Optional<Ceilings> limits = MachineCeilings.measure(decoder, sink);
    Profiler.Options options =
        Profiler.Options.forContext(decoder.config().contextLength(), plan.request().seed());
    List<String> advice =
        limits
            .map(c -> Profiler.profile(decoder, options, c, this::progress).advice())
            .orElse(List.of());
    OperationTimes.Request request =
        new OperationTimes.Request(
            what, decoder, tokenizer, cache, prompts.first(), prompts.tokens());
    return OperationTimes.measure(
        request,
        trial.repetitions(),
        limits,
        advice,
        this::progress,
        events -> folder.writeWhole(traceFile, Trace.json(events, what)));
  }

  private Contender naive(String name, Decoder decoder) {
    return new Contender(name, decoder, Cache.NONE, List.of(prompts.first()));
  }

  private Map<Contender, Outcomes> speeds(String stage, List<Contender> contenders) {
    sink.begin(stage + ": measure speed");
    return trial.run(contenders, samples.witness(stage), this::progress);
  }

  private void progress(long done, long total) {
    sink.progress(done, total);
  }

  /** The last stage that made the model what it is. */
  private Stage acceptedStage() {
    return journal.stages().stream()
        .filter(Stage::accepted)
        .filter(stage -> stage.kind() != Stage.Kind.KV_CACHE && stage.kind() != Stage.Kind.BATCH)
        .reduce((a, b) -> b)
        .orElseThrow();
  }

  private Path acceptedPath() {
    return journal.acceptedStep().map(steps::accepted).orElse(plan.request().model());
  }

  /** Null where the baseline is what was accepted: it is open already. */
  private LoadedModel openAccepted() {
    return journal.acceptedStep().isEmpty() ? null : LoadedModel.open(acceptedPath(), backend);
  }

  private Gate.Size incumbentSize(Path model) {
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      return Gate.Size.of(checkpoint, acceptedStage().kvBytesPerToken().orElseThrow());
    }
  }
}
