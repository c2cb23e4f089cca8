package dev.lathe.optimize;

import dev.lathe.backend.Backend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.compress.CompressionResult;
import dev.lathe.compress.LayerResult;
import dev.lathe.error.LatheException;
import dev.lathe.measure.Quality;
import dev.lathe.report.Stage;
import dev.lathe.train.FineTuning;
import dev.lathe.train.FineTuningPlan;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/** Makes the candidate of a step: by its technique, or with training where that is possible. */
final class StepWork {
  /**
   * What was done.
   *
   * @param what in words, for tables
   * @param note to the reason of the decision; empty for none
   */
  record Applied(
      String what, String note, List<LayerResult> layers, Optional<Stage.Training> training) {}

  private final Plan plan;
  private final ProgressSink sink;
  private final Backend backend;
  private final LoadedModel baseline;
  private final Inputs inputs;
  private final StepFolders folders;

  StepWork(
      Plan plan,
      ProgressSink sink,
      Backend backend,
      LoadedModel baseline,
      Inputs inputs,
      StepFolders folders) {
    this.plan = plan;
    this.sink = sink;
    this.backend = backend;
    this.baseline = baseline;
    this.inputs = inputs;
    this.folders = folders;
  }

  /**
   * @param before folder of the accepted model
   * @param out folder of the candidate
   */
  Applied apply(Plan.Step step, Path before, Path out) {
    try (Checkpoint in = Checkpoints.open(before)) {
      if (step.training().isEmpty()) {
        return apply(step, in, out, "");
      }
      TrainedPruning wanted = step.training().get();
      FineTuningPlan training =
          wanted.plan(baseline.decoder().config().contextLength(), plan.request().seed());
      Optional<String> leftOut =
          inputs.training().isEmpty()
              ? Optional.of("no training text is known (--train-text)")
              : FineTuning.refusal(in, training);
      return leftOut.isPresent()
          ? apply(step, in, out, "; one-shot, fine-tuning was left out: " + leftOut.get())
          : train(wanted, training, in, out);
    }
  }

  private Applied apply(Plan.Step step, Checkpoint in, Path out, String note) {
    sink.begin(step.technique().name() + ": apply");
    CompressionResult result =
        step.technique().apply(in, out, (what, done, total) -> sink.progress(done, total));
    return new Applied(step.technique().name(), note, result.layers(), Optional.empty());
  }

  private Applied train(TrainedPruning wanted, FineTuningPlan training, Checkpoint in, Path out) {
    Path workspace = folders.path("training");
    if (!workspace.toFile().mkdir()) {
      throw new LatheException(LatheException.FAILED, workspace + ": cannot be made");
    }
    FineTuning.Documents documents = inputs.training().orElseThrow();
    OptionalDouble control = OptionalDouble.empty();
    if (wanted.control()) {
      sink.begin("control: train without pruning");
      Path unpruned = workspace.resolve("control");
      FineTuning.run(
          in, documents, training, Optional.empty(), threads(), unpruned, this::progress);
      control = OptionalDouble.of(lossPercent(unpruned));
    }
    sink.begin(wanted.name() + ": train");
    TrainedPruning.Outcome outcome =
        wanted.apply(in, documents, training, threads(), workspace, out, this::progress);
    FineTuning.Result result = outcome.training();
    Stage.Training trained =
        new Stage.Training(
            plan.training().orElseThrow().name(),
            result.steps(),
            result.tokens(),
            result.seconds(),
            result.lossBefore(),
            result.lossAfter(),
            control);
    return new Applied(wanted.name(), "", outcome.layers(), Optional.of(trained));
  }

  private double lossPercent(Path model) {
    sink.begin("control: evaluate");
    try (LoadedModel trained = LoadedModel.open(model, backend)) {
      return Quality.of(trained.decoder(), baseline.decoder(), inputs.text(), sink::progress)
          .comparison()
          .orElseThrow()
          .lossPercent();
    }
  }

  private void progress(int done, int steps, double loss) {
    sink.progress(done, steps);
  }

  private int threads() {
    int asked = plan.request().threads();
    return asked > 0 ? asked : Runtime.getRuntime().availableProcessors();
  }
}
