package dev.lathe.optimize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.compress.LayerComparison;
import dev.lathe.compress.LayerResult;
import dev.lathe.compress.MagnitudePrune;
import dev.lathe.compress.Progress;
import dev.lathe.compress.RestoreInt8;
import dev.lathe.compress.Scope;
import dev.lathe.compress.StepFields;
import dev.lathe.compress.Techniques;
import dev.lathe.error.InvalidInputException;
import dev.lathe.train.FineTuning;
import dev.lathe.train.FineTuningPlan;
import dev.lathe.train.PruningSchedule;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import tools.jackson.databind.node.ObjectNode;

/**
 * Pruning with training: weights go while the others are trained, or at once, and the others are
 * trained on while those stay zero. Training works on floats; afterwards each matrix is stored as
 * it was before, INT8 or float, and the pruned ones as bitmaps.
 *
 * <pre>{@code
 * {technique: prune, sparsity: 0.5, scope: layer, schedule: gradual,
 *  finetune: {steps: 250, ramp: 150, every: 10, batch: 32, length: 256, learning_rate: 0.0005,
 *             last_learning_rate: 0.00005, warm_up: 10, weight_decay: 0, control: false}}
 * }</pre>
 *
 * <p>A step is one of these where it has the key {@code schedule: gradual} or {@code finetune}; the
 * other values above are the defaults, {@code ramp} six tenths of the steps and {@code length} at
 * most the model's context.
 *
 * @param prune what goes; also what is done where there is nothing to train on
 * @param rampSteps over which the share rises; 0: all goes before the first step
 * @param every steps between two choices of what goes
 * @param length tokens of a sequence; empty for 256, or the context where that is shorter
 * @param control whether the same training without pruning is measured too
 */
public record TrainedPruning(
    MagnitudePrune prune,
    int steps,
    int rampSteps,
    int every,
    int batch,
    OptionalInt length,
    double learningRate,
    double lastLearningRate,
    int warmUp,
    double weightDecay,
    boolean control) {

  /** The values of a recipe that names none. */
  public static final int STEPS = 250;

  private static final int EVERY = 10;
  private static final int BATCH = 32;
  private static final int LENGTH = 256;
  private static final double LEARNING_RATE = 5e-4;
  private static final double RAMP = 0.6;

  /**
   * What was written.
   *
   * @param layers against the model that came in
   */
  public record Outcome(FineTuning.Result training, long bytes, List<LayerResult> layers) {}

  /**
   * With the defaults.
   *
   * @param gradual whether the share rises over the training
   */
  public static TrainedPruning of(MagnitudePrune prune, boolean gradual, int steps) {
    return new TrainedPruning(
        prune,
        steps,
        gradual ? ramp(steps) : 0,
        EVERY,
        BATCH,
        OptionalInt.empty(),
        LEARNING_RATE,
        LEARNING_RATE / 10,
        Math.min(10, steps),
        0,
        false);
  }

  private static int ramp(int steps) {
    return (int) Math.round(RAMP * steps);
  }

  /** True for a step of a recipe that this class reads. */
  static boolean isOne(ObjectNode step) {
    return step.has("schedule") || step.has("finetune");
  }

  /**
   * Reads a step.
   *
   * @return empty where it is pruned at once and nothing is trained
   * @throws InvalidInputException names the place, the key, and what is allowed
   */
  static Optional<TrainedPruning> parse(String where, ObjectNode step) {
    String name = Techniques.name(where, step);
    StepFields fields = new StepFields(where, "'" + name + "'", step);
    if (!name.equals("prune")) {
      throw fields.error("'schedule' and 'finetune' are keys of 'prune', not of '" + name + "'");
    }
    MagnitudePrune prune = Techniques.prune(fields, "schedule", "finetune");
    boolean gradual =
        fields
            .choice("schedule", Optional.of("one-shot"), List.of("one-shot", "gradual"))
            .equals("gradual");
    Optional<StepFields> given = fields.nested("finetune");
    if (given.isEmpty()) {
      return gradual ? Optional.of(of(prune, true, STEPS)) : Optional.empty();
    }
    StepFields tune = given.get();
    tune.allow(
        "steps",
        "ramp",
        "every",
        "batch",
        "length",
        "learning_rate",
        "last_learning_rate",
        "warm_up",
        "weight_decay",
        "control");
    int steps = tune.integer("steps", STEPS, 1, 10_000_000);
    if (!gradual && (tune.fields().has("ramp") || tune.fields().has("every"))) {
      throw tune.error("'ramp' and 'every' are of 'schedule: gradual'");
    }
    double rate = tune.number("learning_rate", LEARNING_RATE);
    int length = tune.integer("length", 0, 2, 1 << 20);
    TrainedPruning read =
        new TrainedPruning(
            prune,
            steps,
            gradual ? tune.integer("ramp", ramp(steps), 1, steps) : 0,
            tune.integer("every", EVERY, 1, steps),
            tune.integer("batch", BATCH, 1, 4096),
            length == 0 ? OptionalInt.empty() : OptionalInt.of(length),
            rate,
            tune.number("last_learning_rate", rate / 10),
            tune.integer("warm_up", Math.min(10, steps), 0, steps),
            tune.number("weight_decay", 0),
            tune.flag("control", false));
    try {
      read.plan(Integer.MAX_VALUE, 0);
    } catch (InvalidInputException e) {
      throw new InvalidInputException(where + ": " + e.getMessage(), e);
    }
    return Optional.of(read);
  }

  /** What is done in its place where nothing can be trained. */
  static MagnitudePrune oneShot(String where, ObjectNode step) {
    return Techniques.prune(new StepFields(where, "'prune'", step), "schedule", "finetune");
  }

  /** Short, for tables: {@code prune 50 % gradual, fine-tuned}. */
  public String name() {
    return prune.name() + (isGradual() ? " gradual" : "") + ", fine-tuned";
  }

  boolean isGradual() {
    return rampSteps > 0;
  }

  /** With every parameter. */
  public String description() {
    return String.format(
        Locale.ROOT,
        "%s schedule=%s%s, fine-tuned steps=%d batch=%d length=%s learning-rate=%s..%s warm-up=%d"
            + " weight-decay=%s",
        prune.description(),
        isGradual() ? "gradual" : "one-shot",
        isGradual() ? " ramp=%d every=%d".formatted(rampSteps, every) : "",
        steps,
        batch,
        length.isPresent() ? String.valueOf(length.getAsInt()) : "up to " + LENGTH,
        learningRate,
        lastLearningRate,
        warmUp,
        weightDecay);
  }

  /** The training of a model with a context. */
  public FineTuningPlan plan(int contextLength, long seed) {
    return new FineTuningPlan(
        steps,
        batch,
        length.orElse(Math.min(LENGTH, contextLength)),
        learningRate,
        lastLearningRate,
        warmUp,
        weightDecay,
        seed);
  }

  /**
   * Prunes and trains.
   *
   * @param workspace an empty folder of the caller's, who removes it: what comes before the result
   *     lies there
   * @param out a folder that does not exist yet; it appears whole or not at all
   * @throws InvalidInputException if the model cannot be trained, or a matrix is INT8 with several
   *     scales a row
   */
  public Outcome apply(
      Checkpoint in,
      FineTuning.Documents documents,
      FineTuningPlan plan,
      int threads,
      Path workspace,
      Path out,
      FineTuning.Progress progress) {
    CheckpointWriter.create(out); // refuses what exists, before minutes of training
    PruningSchedule schedule =
        new PruningSchedule(
            prune.modules(in), prune.sparsity(), prune.scope() == Scope.GLOBAL, rampSteps, every);
    Path trained = workspace.resolve("trained");
    FineTuning.Result result =
        FineTuning.run(in, documents, plan, Optional.of(schedule), threads, trained, progress);
    RestoreInt8 int8 = new RestoreInt8(in);
    Path pruned = int8.isNothing() ? out : workspace.resolve("pruned");
    try (Checkpoint checkpoint = Checkpoints.open(trained)) {
      // Only what the training has cut is zero: exactly that is left out.
      prune.apply(checkpoint, pruned, Progress.SILENT);
    }
    if (!int8.isNothing()) {
      try (Checkpoint checkpoint = Checkpoints.open(pruned)) {
        int8.apply(checkpoint, out, Progress.SILENT);
      }
    }
    try (Checkpoint written = Checkpoints.open(out)) {
      return new Outcome(result, written.fileBytes(), LayerComparison.of(in, written));
    }
  }
}
