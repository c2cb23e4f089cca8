package dev.lathe.train;

/**
 * How to train.
 *
 * @param batch sequences a step
 * @param length tokens of each
 * @param steps in all
 * @param learningRate at the end of the warm-up
 * @param lastLearningRate at the last step; between them half a cosine (Loshchilov and Hutter 2017)
 * @param warmUp steps over which the learning rate rises from 0
 * @param weightDecay decoupled, of matrices only
 * @param clip the most that the norm of the gradient over all weights may be
 * @param evaluateEvery steps between looks at the held-out loss, and between saved states
 * @param patience looks without a lower held-out loss after which training stops
 * @param seed which windows of the text come when
 */
public record TrainingPlan(
    int batch,
    int length,
    int steps,
    double learningRate,
    double lastLearningRate,
    int warmUp,
    double weightDecay,
    double clip,
    int evaluateEvery,
    int patience,
    long seed) {

  public TrainingPlan {
    if (batch < 1 || length < 1 || steps < 1 || warmUp < 0 || evaluateEvery < 1 || patience < 1) {
      throw new IllegalArgumentException("a plan of nothing");
    }
    if (!(learningRate > 0 && lastLearningRate >= 0 && weightDecay >= 0 && clip > 0)) {
      throw new IllegalArgumentException("rates and the clip are positive");
    }
  }

  /** The learning rate of a step, the first being 0. */
  double learningRate(long step) {
    if (step < warmUp) {
      return learningRate * (step + 1) / warmUp;
    }
    double part = Math.min(1, (step - warmUp) / (double) Math.max(1, steps - warmUp));
    return lastLearningRate
        + (learningRate - lastLearningRate) * (1 + Math.cos(Math.PI * part)) / 2;
  }
}
