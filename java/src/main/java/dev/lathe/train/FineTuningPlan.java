package dev.lathe.train;

import dev.lathe.error.InvalidInputException;
import java.util.Locale;

/**
 * How a trained model is trained further: AdamW, the learning rate rising over the first steps and
 * falling along half a cosine over the others.
 *
 * @param steps updates in all
 * @param batch sequences a step
 * @param length tokens of each, at most the model's context
 * @param learningRate at the end of the warm-up
 * @param lastLearningRate at the last step
 * @param warmUp steps over which the learning rate rises from 0
 * @param weightDecay decoupled, of matrices only
 * @param seed which windows of the text come when
 */
public record FineTuningPlan(
    int steps,
    int batch,
    int length,
    double learningRate,
    double lastLearningRate,
    int warmUp,
    double weightDecay,
    long seed) {

  /**
   * @throws InvalidInputException if a value is out of its range: names it and the range
   */
  public FineTuningPlan {
    require(steps >= 1, "steps", steps, "1 or more");
    require(batch >= 1 && batch <= 4096, "batch", batch, "from 1 to 4096");
    require(length >= 2, "length", length, "2 or more");
    require(learningRate > 0 && learningRate <= 1, "learning rate", learningRate, "above 0");
    require(
        lastLearningRate >= 0 && lastLearningRate <= learningRate,
        "last learning rate",
        lastLearningRate,
        "from 0 to the learning rate");
    require(warmUp >= 0 && warmUp <= steps, "warm-up", warmUp, "from 0 to the steps");
    require(weightDecay >= 0 && weightDecay < 1, "weight decay", weightDecay, "from 0 to 1");
  }

  private static void require(boolean right, String what, Object value, String allowed) {
    if (!right) {
      throw new InvalidInputException(
          "fine-tuning: %s %s: it must be %s".formatted(what, value, allowed));
    }
  }

  /** Tokens that all steps learn from, some of them more than once. */
  public long tokens() {
    return (long) steps * batch * length;
  }

  /** With every parameter, for the lineage. */
  public String description() {
    return String.format(
        Locale.ROOT,
        "finetune steps=%d batch=%d length=%d learning-rate=%s..%s warm-up=%d weight-decay=%s seed=%d",
        steps,
        batch,
        length,
        learningRate,
        lastLearningRate,
        warmUp,
        weightDecay,
        seed);
  }

  TrainingPlan training() {
    return new TrainingPlan(
        batch,
        length,
        steps,
        learningRate,
        lastLearningRate,
        warmUp,
        weightDecay,
        /* clip= */ 1,
        /* evaluateEvery= */ steps,
        /* patience= */ 1,
        seed);
  }
}
