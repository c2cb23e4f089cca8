package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;

/**
 * How far a correct F32 implementation may be from the reference, which is exact but for its last
 * rounding. From the format and the length of the sum (Higham 2002, "Accuracy and Stability of
 * Numerical Algorithms", section 3.1): whatever the order, and with or without fused multiply-add,
 * {@code |computed - exact| <= n u / (1 - n u) * sum |x||w|}. Any constant beside n counts
 * roundings that are named where it is used.
 */
public final class Tolerance {
  /** Unit roundoff of F32: half the distance from 1 to the next number. */
  static final double U = 0x1p-24;

  /** Unit roundoff of F16. */
  static final double U_F16 = 0x1p-11;

  /** Unit roundoff of BF16. */
  static final double U_BF16 = 0x1p-8;

  /** Below the smallest normal F32, hardware may flush to zero. */
  static final double TINY = 0x1p-126;

  private Tolerance() {}

  /**
   * A dot product of n terms. Beside n: scaling an integer weight, adding the bias, adding to the
   * output, and storing.
   *
   * @param magnitude the sum of |x||w|, |bias| and |previous output|
   */
  static double dot(long n, double magnitude) {
    return (n + 4) * U * magnitude + TINY;
  }

  /**
   * RMSNorm of n columns. The sum of squares has no cancellation: n u; the mean and epsilon: 2 u;
   * the root halves that; a fast reciprocal root 4 u; two products and the store 3 u.
   */
  static double rmsNorm(long n, double result) {
    return (n / 2.0 + 8) * U * Math.abs(result) + TINY;
  }

  /**
   * LayerNorm of n columns. The mean is wrong by at most {@code n u mean|x|}, and so is each
   * centred value, whose subtraction adds {@code u |x|}; dividing by the deviation turns that into
   * an error of the normalized value. The sum of squares has no cancellation, and is halved by the
   * root, as in {@link #rmsNorm}; a shifted centre moves it in the second order only.
   */
  static double layerNorm(Tensor x, long row, double epsilon, double weight, double bias) {
    long n = x.size(1);
    double sum = 0;
    double magnitude = 0;
    for (long c = 0; c < n; c++) {
      sum += Bench.at(x, row, c);
      magnitude = Math.max(magnitude, Math.abs(Bench.at(x, row, c)));
    }
    double squares = 0;
    for (long c = 0; c < n; c++) {
      double centred = Bench.at(x, row, c) - sum / n;
      squares += centred * centred;
    }
    double deviation = Math.sqrt(squares / n + epsilon);
    double centre = (n + 2) * U * magnitude;
    double largest = (magnitude + Math.abs(sum / n)) / deviation;
    double relative = (n / 2.0 + 8) * U + Math.pow(centre / deviation, 2) + centre / deviation;
    return Math.abs(weight) * (centre / deviation + Math.min(largest, Math.sqrt(n)) * relative)
        + 2 * U * (Math.abs(bias) + Math.abs(weight) * Math.sqrt(n))
        + TINY;
  }

  /**
   * {@code cap tanh(x / cap)}: a quotient whose rounding tanh does not enlarge, tanh at 4 ulp (8
   * u), a product.
   */
  static double softCap(double result) {
    return 10 * U * Math.abs(result) + TINY;
  }

  /** A pair's rotation: two products, a sum. */
  static double rotation(double first, double second) {
    return 3 * U * (Math.abs(first) + Math.abs(second)) + TINY;
  }

  /** Storing in F16; below its normal numbers the step is 2^-24. */
  static double f16(double value) {
    return U_F16 * Math.abs(value) + 0x1p-25;
  }

  /** Storing in a cache of F32, F16 or BF16. */
  static double stored(DType dtype, double value) {
    return switch (dtype) {
      case F16 -> f16(value);
      case BF16 -> U_BF16 * Math.abs(value);
      default -> 0;
    };
  }

  /**
   * Softmax attention over n tokens.
   *
   * <p>A score is a dot product of headDim terms, scaled: wrong by at most {@code d = (headDim + 3)
   * u largestScore}, where largestScore bounds {@code scale sum |q||k|}. exp turns an absolute
   * error of its argument into a relative one of its result; the difference from the maximum adds
   * {@code 2 u largestScore}, and a running maximum rescales up to n times, at 5 u each (exp and
   * product). Numerator and denominator both carry that and their own sums of n terms.
   */
  static double attention(long n, int headDim, double largestScore, double largestValue) {
    double probability = ((headDim + 3) * largestScore + 2 * largestScore + 5 * n + 8) * U;
    return largestValue * (2 * probability + 2 * (n + 2) * U) + TINY;
  }

  /**
   * What rounding queries and probabilities adds to {@link #attention}. A rounded query moves a
   * score by {@code u largestScore}, which exp turns into a factor on a probability, above and
   * below the fraction; a probability is rounded once more.
   *
   * @param u relative to each query and probability; 0 where they are multiplied as they are
   */
  public static double roundedAttention(double u, double largestScore, double largestValue) {
    return largestValue * (Math.expm1(2 * u * largestScore) * (1 + u) + 2 * u);
  }

  /**
   * What integers of 16 bits add to {@link #attention} over INT8. An element of a query is off by
   * half of 1 / 32,639 of its head's largest, so a score by {@code sqrt(headDim) / 65,278
   * largestScore} (Cauchy-Schwarz). A probability times its value's scale is off by half of 1 /
   * 65,535 of the largest among those of {@code shared} keys, and is multiplied by codes up to 127:
   * the largest are at most all probabilities together.
   *
   * @param shared keys whose probabilities share a scale
   */
  static double integerAttention(
      int headDim, long shared, double largestScore, double largestValue) {
    double query = Math.sqrt(headDim) / 65_278;
    return largestValue * (Math.expm1(2 * query * largestScore) + shared / 131_070.0);
  }

  /**
   * A gated activation. {@code 1 + tanh(y)} and its like cancel for negative x, so the error is
   * relative to |x||up|, not to the result: exp or tanh at 4 ulp, their argument at 4 u, three
   * products and the store.
   */
  static double gate(double x, double up) {
    return 16 * U * Math.abs(x * up) + TINY * (1 + Math.abs(up));
  }
}
