package dev.lathe.backend.reference;

import dev.lathe.backend.DrawParameters;
import java.util.Arrays;
import java.util.Comparator;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Draws a token as its documentation reads: sorted lists, fp64, nothing kept between draws. */
final class ReferenceSampler {
  private ReferenceSampler() {}

  /**
   * The next token.
   *
   * @param logits of the whole vocabulary; a repetition penalty changes them
   */
  static int draw(DrawParameters p, float[] logits, int[] context) {
    if (p.repetitionPenalty() != 1) {
      for (int token : Arrays.stream(context).distinct().toArray()) {
        double logit = logits[token];
        logits[token] =
            (float) (logit > 0 ? logit / p.repetitionPenalty() : logit * p.repetitionPenalty());
      }
    }
    int[] ranked =
        IntStream.range(0, logits.length)
            .boxed()
            .sorted(
                Comparator.comparingDouble((Integer token) -> -logits[token])
                    .thenComparingInt(token -> token))
            .mapToInt(Integer::intValue)
            .toArray();
    if (p.temperature() == 0) {
      return ranked[0];
    }
    int kept = p.topK() == 0 ? ranked.length : Math.min(p.topK(), ranked.length);
    double highest = logits[ranked[0]];
    double[] weights = new double[kept];
    double sum = 0;
    for (int rank = 0; rank < kept; rank++) {
      weights[rank] = Math.exp((logits[ranked[rank]] - highest) / p.temperature());
      sum += weights[rank];
    }
    int nucleus = 0;
    double mass = 0;
    while (nucleus < kept
        && (nucleus == 0 || (mass < p.topP() * sum && weights[nucleus] >= p.minP()))) {
      mass += weights[nucleus++];
    }
    int[] tokens = Arrays.copyOf(ranked, nucleus);
    boolean whole = p.topK() == 0 && p.topP() == 1 && p.minP() == 0;
    if (whole) {
      Arrays.sort(tokens); // then they are drawn from in their own order
    }
    double left = random(p.seed(), p.draw()) * mass;
    for (int token : tokens) {
      left -= Math.exp((logits[token] - highest) / p.temperature());
      if (left < 0) {
        return token;
      }
    }
    return ranked[0];
  }

  /** The double that a generator of this seed gives after {@code before} others. */
  private static double random(long seed, long before) {
    SplittableRandom random = new SplittableRandom(seed);
    for (long i = 0; i < before; i++) {
      random.nextDouble();
    }
    return random.nextDouble();
  }
}
