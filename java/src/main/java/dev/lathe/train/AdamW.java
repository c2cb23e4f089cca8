package dev.lathe.train;

/**
 * AdamW: moments with bias correction, weight decay apart from them and not on vectors.
 *
 * @see <a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019, algorithm 2</a>
 */
final class AdamW {
  private static final double BETA1 = 0.9;
  private static final double BETA2 = 0.95;
  private static final double EPSILON = 1e-8;

  private final Parameters parameters;
  private final double weightDecay;
  private final Masks masks;
  final float[] mean;
  final float[] square;
  long step;

  /**
   * @param masks which weights stay 0
   */
  AdamW(Parameters parameters, double weightDecay, Masks masks) {
    this.parameters = parameters;
    this.weightDecay = weightDecay;
    this.masks = masks;
    mean = new float[parameters.count()];
    square = new float[parameters.count()];
    masks.apply(parameters);
  }

  /**
   * One update.
   *
   * @param gradient changed: it is clipped
   * @param clip the most that the gradient's norm may be; beyond it, it is scaled down to it
   *     (Pascanu et al. 2013, algorithm 1)
   * @return the gradient's norm before that; where it is not finite, nothing was changed
   */
  double update(float[] gradient, double learningRate, double clip) {
    masks.apply(gradient, parameters);
    double squares = 0;
    for (float g : gradient) {
      squares += (double) g * g;
    }
    double norm = Math.sqrt(squares);
    if (!Double.isFinite(norm)) {
      return norm;
    }
    float scale = norm > clip ? (float) (clip / norm) : 1;
    step++;
    double correction1 = 1 - Math.pow(BETA1, step);
    double correction2 = 1 - Math.pow(BETA2, step);
    float[] values = parameters.values();
    for (Parameters.Entry entry : parameters.entries()) {
      float keep = entry.isMatrix() ? (float) (1 - learningRate * weightDecay) : 1;
      for (int i = entry.offset(); i < entry.offset() + entry.elements(); i++) {
        float g = gradient[i] * scale;
        mean[i] = (float) (BETA1 * mean[i] + (1 - BETA1) * g);
        square[i] = (float) (BETA2 * square[i] + (1 - BETA2) * g * g);
        double direction = mean[i] / correction1 / (Math.sqrt(square[i] / correction2) + EPSILON);
        values[i] = (float) (values[i] * keep - learningRate * direction);
      }
    }
    masks.apply(parameters);
    return norm;
  }
}
