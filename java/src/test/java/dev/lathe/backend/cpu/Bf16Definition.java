package dev.lathe.backend.cpu;

import dev.lathe.tensor.Floats;

/**
 * Attention with queries and weights in BF16, in double precision, and how far F32 may be from it.
 *
 * <p>A score is a sum of headDim products that are exact in F32, times scale / ln 2: wrong by at
 * most {@code (headDim + 3) u} of {@code sum |q||k|} times that. The difference from the largest is
 * wrong by twice as much and a rounding, 2^x by 4 u of itself. The weight before it is rounded so
 * lies in an interval, and rounding is monotone: all but those whose interval holds a border
 * between two BF16 are known exactly. With weights w' for w the mean moves by {@code sum (w' - w)
 * (v - mean) / sum w'}. Sums of the n weighted values and of the n weights, and the quotient, are
 * rounded in F32 (Higham 2002, section 3.1).
 */
final class Bf16Definition {
  private static final double U = 0x1p-24;

  private Bf16Definition() {}

  /** The largest error of single tokens' outputs, in units of the bound at each. */
  static double worst(DecodeStep step, float[][] out) {
    double worst = 0;
    for (int s = 0; s < step.contexts.length; s++) {
      for (int head = 0; head < step.shape.heads(); head++) {
        worst = Math.max(worst, worst(step, s, head, out[s]));
      }
    }
    return worst;
  }

  private static double worst(DecodeStep step, int sequence, int head, float[] out) {
    int headDim = step.shape.headDim();
    int kvHead = head / (step.shape.heads() / step.shape.kvHeads());
    int n = step.contexts[sequence];
    double[] scores = new double[n];
    double largest = Double.NEGATIVE_INFINITY;
    double sizes = 0;
    for (int j = 0; j < n; j++) {
      double size = 0;
      for (int d = 0; d < headDim; d++) {
        double product =
            bf16(step.query(sequence, head, d)) * (double) step.key(sequence, kvHead, j, d);
        scores[j] += product * step.shape.scale();
        size += Math.abs(product) * step.shape.scale();
      }
      largest = Math.max(largest, scores[j]);
      sizes = Math.max(sizes, size);
    }
    double relative = (2 * (headDim + 3) + 1) * U * sizes + 6 * U;
    double[] weights = new double[n];
    double[] unsure = new double[n];
    double sum = 0;
    double least = 0;
    for (int j = 0; j < n; j++) {
      double weight = Math.exp(scores[j] - largest);
      weights[j] = bf16((float) weight);
      double low = bf16((float) (weight * (1 - relative)));
      unsure[j] = bf16((float) (weight * (1 + relative))) - low;
      sum += weights[j];
      least += low;
    }
    double worst = 0;
    for (int d = 0; d < headDim; d++) {
      double mean = 0;
      double magnitude = 0;
      for (int j = 0; j < n; j++) {
        double value = step.value(sequence, kvHead, j, d);
        mean += weights[j] * value / sum;
        magnitude += weights[j] * Math.abs(value) / sum;
      }
      double bound = 2 * (n + 2) * U * magnitude + Float.MIN_NORMAL;
      for (int j = 0; j < n; j++) {
        bound += unsure[j] * Math.abs(step.value(sequence, kvHead, j, d) - mean) / least;
      }
      double error = Math.abs(out[head * headDim + d] - mean);
      worst = Math.max(worst, Double.isNaN(error) ? Double.POSITIVE_INFINITY : error / bound);
    }
    return worst;
  }

  private static float bf16(float x) {
    return Floats.fromBf16(Floats.toBf16(x));
  }
}
