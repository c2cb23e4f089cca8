package dev.lathe.measure;

import dev.lathe.measure.Statistics.Interval;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * How likely a model makes a text, and how far it is from another model, from logits. In double
 * precision throughout: a float sum over a vocabulary loses what compression changes.
 */
public final class QualityMath {
  private QualityMath() {}

  /** The largest value, and {@code log(sum of exp(x - largest))}: apart, so that none is lost. */
  private record LogSum(double largest, double logOfRest) {
    static LogSum of(float... logits) {
      double largest = Double.NEGATIVE_INFINITY;
      for (float logit : logits) {
        largest = Math.max(largest, logit);
      }
      double sum = 0;
      for (float logit : logits) {
        sum += Math.exp(logit - largest);
      }
      return new LogSum(largest, Math.log(sum));
    }

    double logProbability(float logit) {
      return logit - largest - logOfRest;
    }
  }

  @Metric(
      name = "NLL",
      unit = "nats",
      formula = "log(sum over tokens j of exp(logit[j])) - logit[next token]")
  static double negativeLogLikelihood(float[] logits, int next) {
    return -LogSum.of(logits).logProbability(logits[next]);
  }

  @Metric(
      name = "KL(base || candidate)",
      unit = "nats",
      formula = "sum over tokens j of p(j) * (log p(j) - log q(j)), p of the base, q of the other")
  static double divergence(float[] base, float[] candidate) {
    LogSum baseSum = LogSum.of(base);
    LogSum candidateSum = LogSum.of(candidate);
    double sum = 0;
    for (int j = 0; j < base.length; j++) {
      double logP = baseSum.logProbability(base[j]);
      sum += Math.exp(logP) * (logP - candidateSum.logProbability(candidate[j]));
    }
    // Rounding can leave a divergence of nothing a hair below zero.
    return Math.max(0, sum);
  }

  /** The first of the largest. */
  static int argmax(float... logits) {
    int best = 0;
    for (int j = 1; j < logits.length; j++) {
      if (logits[j] > logits[best]) {
        best = j;
      }
    }
    return best;
  }

  @Metric(name = "perplexity", unit = "1", formula = "exp(mean NLL), over all tokens")
  static double perplexity(double meanNll) {
    return Math.exp(meanNll);
  }

  /**
   * A mean over the tokens of documents: tokens of one document depend on one another, so documents
   * are the independent units and their spread is what the error comes from (ratio estimator:
   * Cochran 1977, Sampling Techniques, section 2.11).
   *
   * @param sums of the values of each document's tokens
   * @param tokens of each document
   */
  @Metric(
      name = "standard error over documents",
      unit = "as the mean",
      formula =
          "sqrt(D / (D - 1) * sum over documents of (s[d] - mean * n[d])^2) / sum of n, s[d] the"
              + " sum over the n[d] tokens of document d, for D >= 2 documents")
  static OptionalDouble standardError(double[] sums, long[] tokens) {
    int documents = sums.length;
    if (documents < 2) {
      return OptionalDouble.empty();
    }
    double mean = clusteredMean(sums, tokens);
    double total = 0;
    double squares = 0;
    for (int d = 0; d < documents; d++) {
      double residual = sums[d] - mean * tokens[d];
      squares += residual * residual;
      total += tokens[d];
    }
    return OptionalDouble.of(Math.sqrt(documents / (documents - 1.0) * squares) / total);
  }

  static double clusteredMean(double[] sums, long[] tokens) {
    double sum = 0;
    double count = 0;
    for (int d = 0; d < sums.length; d++) {
      sum += sums[d];
      count += tokens[d];
    }
    return sum / count;
  }

  @Metric(
      name = "interval over documents",
      unit = "as the mean",
      formula =
          "mean ± t(0.975, D - 1) * standard error over documents, 95 %; of the perplexity: exp of"
              + " the interval of the mean NLL")
  static Optional<Interval> interval(double mean, OptionalDouble standardError, int documents) {
    if (standardError.isEmpty()) {
      return Optional.empty();
    }
    double half = Statistics.studentT(documents - 1) * standardError.getAsDouble();
    return Optional.of(new Interval(mean - half, mean + half));
  }

  @Metric(
      name = "loss",
      unit = "%",
      formula =
          "100 * (perplexity / perplexity of the base - 1) = 100 * (exp(mean of NLL - base NLL) -"
              + " 1), both over the same tokens")
  static double lossPercent(double meanNllDifference) {
    return 100 * Math.expm1(meanNllDifference);
  }
}
