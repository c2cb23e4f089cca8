package dev.lathe.cli;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.ModelConfig;
import dev.lathe.optimize.TrainingText;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import dev.lathe.train.FineTuning;
import dev.lathe.train.FineTuningPlan;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/** What {@code finetune} and {@code prune --schedule} share: text, steps, learning rate. */
final class TrainingOptions {
  /** All but the text itself. */
  static final List<String> NAMES =
      List.of(
          "--separator",
          "--steps",
          "--batch",
          "--length",
          "--learning-rate",
          "--seed",
          "--threads");

  @Option(
      names = "--train-text",
      paramLabel = "FILE",
      description =
          "Text to train on. Default, for the embedded model and what was made from it: the text that"
              + " it learnt from.")
  private Path text;

  @Option(
      names = "--separator",
      paramLabel = "S",
      description = "What stands between the documents of the text.")
  private String separator;

  @Option(
      names = "--steps",
      defaultValue = "250",
      paramLabel = "N",
      description = "Updates of the weights. Default: ${DEFAULT-VALUE}.")
  private int steps;

  @Option(
      names = "--batch",
      defaultValue = "32",
      paramLabel = "N",
      description = "Sequences of each step. Default: ${DEFAULT-VALUE}.")
  private int batch;

  @Option(
      names = "--length",
      paramLabel = "N",
      description = "Tokens of each sequence. Default: 256, or the model's context if shorter.")
  private Integer length;

  @Option(
      names = "--learning-rate",
      defaultValue = "0.0005",
      paramLabel = "X",
      description =
          "The highest; it rises over the first steps and falls to a tenth. Default:"
              + " ${DEFAULT-VALUE}.")
  private double learningRate;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Which parts of the text come when. Default: ${DEFAULT-VALUE}.")
  private long seed;

  @Option(
      names = "--threads",
      defaultValue = "0",
      paramLabel = "N",
      description = "CPU threads; more than 2 are not used. Default: as many as there are cores.")
  private int threads;

  boolean isGiven() {
    return text != null;
  }

  int steps() {
    return HardwareOptions.atLeast("--steps", steps, 1);
  }

  FineTuningPlan plan(int contextLength) {
    return new FineTuningPlan(
        steps(),
        HardwareOptions.batch(batch),
        length == null
            ? Math.min(256, contextLength)
            : HardwareOptions.atLeast("--length", length, 2),
        learningRate,
        learningRate / 10,
        Math.min(10, steps),
        0,
        seed);
  }

  int threads() {
    int asked = HardwareOptions.threads(threads);
    return asked > 0 ? asked : Runtime.getRuntime().availableProcessors();
  }

  void requireTrainable(Checkpoint in, FineTuningPlan plan) {
    FineTuning.refusal(in, plan)
        .ifPresent(why -> {
          throw new InvalidInputException(in.path() + ": " + why);
        });
  }

  FineTuning.Documents documents(Checkpoint in, ModelConfig config) {
    TrainingText read =
        text == null
            ? TrainingText.embedded(in)
                .orElseThrow(() ->
                    new InvalidInputException(
                        "no text to train on was given (--train-text FILE), and %s does not come from the embedded model, whose text is known"
                            .formatted(in.path())))
            : TrainingText.read(text, Optional.ofNullable(separator));
    try (Tokenizer tokenizer = Tokenizers.load(in)) {
      return read.documents(tokenizer, config);
    }
  }

  /** The keys of {@code --json} about a training. */
  static void put(ObjectNode json, FineTuning.Result result) {
    json.put("steps", result.steps());
    json.put("tokens", result.tokens());
    json.put("seconds", result.seconds());
    json.put("loss_before", result.lossBefore());
    json.put("loss_after", result.lossAfter());
  }
}
