package dev.lathe.cli;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.model.ModelConfig;
import dev.lathe.train.FineTuning;
import dev.lathe.train.FineTuningPlan;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.ParentCommand;
import tools.jackson.databind.node.ObjectNode;

/** A checkpoint trained a little further. */
@Command(
    name = "finetune",
    description =
        "Trains a model further on a text; weights of its matrices that are zero stay zero.",
    mixinStandardHelpOptions = true)
final class FinetuneCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private TrainingOptions training;
  @Mixin private OutOption out;
  @Mixin private JsonOption output;

  @Override
  public Integer call() {
    Path folder = out.path();
    FineTuning.Result result;
    try (Checkpoint in = Checkpoints.open(model.path());
        Progress progress = new Progress(lathe.console())) {
      ModelConfig config = ModelConfig.parse(in.config(), in.path() + ": config.json");
      FineTuningPlan plan = training.plan(config.contextLength());
      training.requireTrainable(in, plan);
      result =
          FineTuning.run(
              in,
              training.documents(in, config),
              plan,
              Optional.empty(),
              training.threads(),
              folder,
              (done, steps, loss) -> progress.update("finetune", done, steps, "steps"));
    }
    if (output.json) {
      Json.print(json(result), lathe.console().out());
    } else {
      lathe
          .console()
          .out()
          .printf(
              "%s: %,d bytes; %,d steps on %,d tokens in %.1f s; loss %.4f, was %.4f nats a token on"
                  + " text that was not trained on%n",
              result.folder(),
              result.bytes(),
              result.steps(),
              result.tokens(),
              result.seconds(),
              result.lossAfter(),
              result.lossBefore());
    }
    return 0;
  }

  private static ObjectNode json(FineTuning.Result result) {
    ObjectNode json = Json.object();
    json.put("out", result.folder().toString());
    json.put("bytes", result.bytes());
    TrainingOptions.put(json, result);
    return json;
  }
}
