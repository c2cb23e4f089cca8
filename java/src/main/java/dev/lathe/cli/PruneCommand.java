package dev.lathe.cli;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.compress.CompressionResult;
import dev.lathe.compress.MagnitudePrune;
import dev.lathe.compress.Scope;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.ModelConfig;
import dev.lathe.optimize.TrainedPruning;
import dev.lathe.train.FineTuningPlan;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/** A checkpoint without the weights that matter least. */
@Command(
    name = "prune",
    description = "Removes the weights that matter least, so that the file shrinks.",
    mixinStandardHelpOptions = true)
final class PruneCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Spec private CommandSpec spec;
  @Mixin private ModelOption model;
  @Mixin private OutOption out;
  @Mixin private JsonOption output;
  @Mixin private TrainingOptions training;

  @Option(
      names = "--pattern",
      defaultValue = "unstructured",
      paramLabel = "NAME",
      description =
          "unstructured: any weight may go; stored as bitmap and values. Default: ${DEFAULT-VALUE}.")
  private String pattern;

  @Option(
      names = "--method",
      defaultValue = "magnitude",
      paramLabel = "NAME",
      description = "magnitude: the smallest go. Default: ${DEFAULT-VALUE}.")
  private String method;

  @Option(
      names = "--sparsity",
      required = true,
      paramLabel = "S",
      description = "Share of the weights that go, above 0 and below 1.")
  private double sparsity;

  @Option(
      names = "--scope",
      defaultValue = "layer",
      paramLabel = "NAME",
      description =
          "layer: this share of each matrix; global: of all together, wherever the smallest are."
              + " Default: ${DEFAULT-VALUE}.")
  private String scope;

  @Option(
      names = "--embedding",
      description = "Prune embedding and head too; otherwise only linear layers are.")
  private boolean embedding;

  @Option(
      names = "--schedule",
      defaultValue = "one-shot",
      paramLabel = "NAME",
      description =
          "one-shot: all at once; gradual: more and more while the others are trained on"
              + " --train-text. With one-shot and --train-text what is left is trained after it."
              + " Default: ${DEFAULT-VALUE}.")
  private String schedule;

  @Override
  public Integer call() {
    Exists.require("--pattern", pattern, List.of("unstructured"));
    Exists.require("--method", method, List.of("magnitude"));
    HardwareOptions.oneOf("--scope", scope, List.of("layer", "global"));
    if (!(sparsity > 0 && sparsity < 1)) {
      throw new InvalidInputException(
          "--sparsity %s: must be above 0 and below 1; 0.5 removes half of the weights"
              .formatted(sparsity));
    }
    Scope where = scope.equals("global") ? Scope.GLOBAL : Scope.LAYER;
    MagnitudePrune prune = new MagnitudePrune(sparsity, where, embedding);
    HardwareOptions.oneOf("--schedule", schedule, List.of("one-shot", "gradual"));
    if (schedule.equals("one-shot") && !training.isGiven()) {
      refuseStray();
      Compression.run(prune, model.path(), out.path(), output, lathe.console());
    } else {
      trained(TrainedPruning.of(prune, schedule.equals("gradual"), training.steps()));
    }
    return 0;
  }

  /** Options of a training that is not going to happen. */
  private void refuseStray() {
    for (String option : TrainingOptions.NAMES) {
      if (spec.commandLine().getParseResult().hasMatchedOption(option)) {
        throw new InvalidInputException(
            option + ": belongs to a training; give --schedule gradual or --train-text too");
      }
    }
  }

  private void trained(TrainedPruning pruning) {
    Path folder = out.path();
    TrainedPruning.Outcome outcome;
    long f32Bytes;
    try (Workspace workspace = Workspace.create();
        Checkpoint in = Checkpoints.open(model.path());
        Progress progress = new Progress(lathe.console())) {
      ModelConfig config = ModelConfig.parse(in.config(), in.path() + ": config.json");
      FineTuningPlan plan = training.plan(config.contextLength());
      training.requireTrainable(in, plan);
      f32Bytes = Compression.f32Bytes(in);
      outcome =
          pruning.apply(
              in,
              training.documents(in, config),
              plan,
              training.threads(),
              workspace.path(),
              folder,
              (done, steps, loss) -> progress.update("prune and train", done, steps, "steps"));
    }
    CompressionOutput told =
        CompressionOutput.of(
            new CompressionResult(folder, outcome.bytes(), outcome.layers()), f32Bytes);
    if (output.json) {
      ObjectNode json = told.json();
      TrainingOptions.put(json, outcome.training());
      Json.print(json, lathe.console().out());
    } else {
      told.print(lathe.console().out());
    }
  }
}
