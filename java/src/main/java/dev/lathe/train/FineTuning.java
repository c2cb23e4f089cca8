package dev.lathe.train;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Trains a model that is trained already a little further, on text of the caller's: to heal what
 * pruning has cut, or on a text of its own. Checkpoint in, checkpoint out.
 *
 * <p>Weights of the matrices that are zero stay exactly zero. The result depends on the model, the
 * documents and the plan alone, not on the threads; on another processor products may round
 * otherwise.
 */
public final class FineTuning {
  /** Documents at the end of the text that are not trained on, so that the loss can be asked. */
  private static final int CHECK_BATCHES = 2;

  /** What is left for everything else on the Java heap. */
  private static final double USABLE_HEAP = 0.85;

  /**
   * What to learn from.
   *
   * @param tokens ids of each document, as the model is to see them: begun and ended with its own
   *     tokens where it has such
   * @param name what the text is, for the lineage: its hash for one
   */
  public record Documents(List<int[]> tokens, String name) {
    public Documents {
      tokens = List.copyOf(tokens);
    }
  }

  /**
   * What came of it.
   *
   * @param bytes of the weights file as written
   * @param tokens that the steps learnt from
   * @param seconds that the steps took
   * @param lossBefore nats a token, over the end of the text, which is not trained on; of the model
   *     before the first step and before anything was cut
   * @param lossAfter the same of the model that was written
   * @param zeros weights of matrices that are zero
   */
  public record Result(
      Path folder,
      long bytes,
      int steps,
      long tokens,
      double seconds,
      double lossBefore,
      double lossAfter,
      long zeros) {}

  /** Hears how far it is, on the thread that called. */
  @FunctionalInterface
  public interface Progress {
    void step(int done, int steps, double loss);
  }

  private FineTuning() {}

  /**
   * Why a model cannot be trained here; empty where it can: its architecture, or its size and the
   * Java heap.
   */
  public static Optional<String> refusal(Checkpoint checkpoint, FineTuningPlan plan) {
    ModelConfig config =
        ModelConfig.parse(checkpoint.config(), checkpoint.path() + ": config.json");
    return Parameters.refusal(config).or(() -> tooLarge(config, plan));
  }

  private static Optional<String> tooLarge(ModelConfig config, FineTuningPlan plan) {
    // Values, moments, what was cut, the summed gradient, and a gradient of each part.
    long arrays = Float.BYTES * Parameters.elements(config) * (5L + Trainer.PARTS);
    Activations.Size activations =
        Activations.size(config, Trainer.together(plan.training()), plan.length());
    long needed = arrays + Math.min(plan.batch(), Trainer.PARTS) * activations.bytes();
    long heap = Runtime.getRuntime().maxMemory();
    if (activations.largest() > Integer.MAX_VALUE - 8) {
      return Optional.of(
          "training holds the activations of several sequences of %d tokens in Java arrays, which are too small for them; a smaller length would fit"
              .formatted(plan.length()));
    }
    return needed > USABLE_HEAP * heap
        ? Optional.of(
            "training takes about %,d MB of Java heap, which may grow to %,d MB; a smaller batch or"
                    .formatted(needed >> 20, heap >> 20)
                + " length takes less, LATHE_JAVA_OPTS=-Xmx… allows more")
        : Optional.empty();
  }

  /**
   * Trains.
   *
   * @param pruning what is cut meanwhile; empty where only what is zero stays zero
   * @param threads that a batch is divided between; more than 2 are not used
   * @param out a folder that does not exist yet: it appears whole or not at all, every tensor of
   *     the type that it had; matrices that were INT8 are F32, pruned ones dense
   * @throws InvalidInputException if the model is none that can be trained, the text is too short
   *     for a batch, the length is beyond the model's context, or {@code out} exists
   * @throws LatheException if a loss is not finite; or if the thread is interrupted: the cause is
   *     then an {@link InterruptedException}, and nothing is left
   */
  public static Result run(
      Checkpoint in,
      Documents documents,
      FineTuningPlan plan,
      Optional<PruningSchedule> pruning,
      int threads,
      Path out,
      Progress progress) {
    refusal(in, plan)
        .ifPresent(why -> {
          throw new InvalidInputException(in.path() + ": " + why);
        });
    Parameters parameters = Parameters.load(in);
    int context = parameters.config().contextLength();
    if (plan.length() > context) {
      throw new InvalidInputException(
          "%s: sequences of %d tokens are longer than the model's context of %d"
              .formatted(in.path(), plan.length(), context));
    }
    CheckpointWriter writer = CheckpointWriter.create(out);
    Split split = Split.of(documents, parameters.config().vocabulary(), plan);
    Optional<GradualMask> gradual = pruning.map(s -> new GradualMask(parameters, s));
    Masks masks = gradual.map(GradualMask::masks).orElseGet(() -> Masks.ofZeros(parameters));
    AdamW optimizer = new AdamW(parameters, plan.weightDecay(), masks);
    double before;
    double after;
    double seconds;
    try (Trainer trainer =
        new Trainer(
            parameters, plan.training(), optimizer, split.training(), Math.max(1, threads))) {
      before = trainer.evaluate(split.check());
      long began = System.nanoTime();
      for (int step = 0; step < plan.steps(); step++) {
        int now = step;
        gradual.ifPresent(mask -> mask.before(now));
        progress.step(step + 1, plan.steps(), trainer.step().loss());
      }
      // Where the ramp is as long as the training, the last choice comes after the last step.
      gradual.ifPresent(mask -> mask.before(plan.steps()));
      seconds = (System.nanoTime() - began) / 1e9;
      after = trainer.evaluate(split.check());
    }
    writer
        .config(in.config())
        .copyCompanions(in)
        .lineage(
            in.lineage()
                .with(
                    new Lineage.Step(
                        in.hash(), description(documents, plan, pruning), Lineage.tool())));
    parameters.writeTo(writer, entry -> type(in, entry));
    CheckpointWriter.Written written = writer.write(bytes -> {});
    return new Result(
        written.folder(),
        written.weightFileBytes(),
        plan.steps(),
        plan.tokens(),
        seconds,
        before,
        after,
        Masks.ofZeros(parameters).zeros());
  }

  /** The text as what is trained on and what is asked before and after. */
  private record Split(TrainingText training, TrainingText check) {

    /** The last documents, at most a tenth of the text, are those that are not trained on. */
    static Split of(Documents documents, int vocabulary, FineTuningPlan plan) {
      List<int[]> all = documents.tokens();
      long tokens = 0;
      for (int[] document : all) {
        for (int token : document) {
          if (token < 0 || token >= vocabulary) {
            throw new IllegalArgumentException(
                "token %d of %s is not in the vocabulary of %d"
                    .formatted(token, documents.name(), vocabulary));
          }
        }
        tokens += document.length;
      }
      if (tokens < 2L * plan.length() || all.size() < 2) {
        throw new InvalidInputException(
            "the training text has %,d tokens in %d documents or windows: there must be two of these and %,d tokens at least"
                .formatted(tokens, all.size(), 2L * plan.length()));
      }
      long wanted = Math.min(tokens / 10, (long) CHECK_BATCHES * plan.batch() * plan.length());
      int from = all.size() - 1;
      for (long taken = all.get(from).length; taken < wanted && from > 1; from--) {
        taken += all.get(from - 1).length;
      }
      return new Split(
          new TrainingText(all.subList(0, from)), new TrainingText(all.subList(from, all.size())));
    }
  }

  private static String description(
      Documents documents, FineTuningPlan plan, Optional<PruningSchedule> pruning) {
    return pruning
            .map(s ->
                "prune unstructured magnitude %s sparsity=%s scope=%s ramp=%d every=%d, "
                    .formatted(
                        s.rampSteps() > 0 ? "gradual" : "one-shot",
                        s.sparsity(),
                        s.together() ? "global" : "layer",
                        s.rampSteps(),
                        s.every()))
            .orElse("")
        + plan.description()
        + " text="
        + documents.name();
  }

  /** What a tensor is written as: the type that its values had, F32 in the place of INT8. */
  private static DType type(Checkpoint in, Parameters.Entry entry) {
    if (!entry.isMatrix()) {
      return in.tensor(entry.name()).dtype();
    }
    return switch (in.weight(entry.module())) {
      case Weight.Dense dense -> dense.values().dtype();
      case Weight.Bitmap bitmap when bitmap.scales().isEmpty() -> bitmap.values().dtype();
      default -> DType.F32;
    };
  }
}
