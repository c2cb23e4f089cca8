package dev.lathe.generate;

import java.util.Arrays;
import java.util.SplittableRandom;

/** Draws tokens for one request; changes the logits that it is given. */
final class Sampler {
  private final Sampling sampling;
  private final SplittableRandom random;
  private double[] probabilities = new double[0];
  private long[] order = new long[0];

  Sampler(Sampling sampling) {
    this.sampling = sampling;
    this.random = new SplittableRandom(sampling.seed());
  }

  /**
   * The next token.
   *
   * @param logits of the whole vocabulary, all finite
   * @param context tokens so far, the prompt's included; {@code length} of them
   */
  int draw(float[] logits, int[] context, int length) {
    int vocabulary = logits.length;
    if (order.length < vocabulary) {
      probabilities = new double[vocabulary];
      order = new long[vocabulary];
    }
    penalize(logits, context, length);
    if (sampling.temperature() == 0) {
      return largest(logits);
    }
    return sampling.topK() == 0 && sampling.topP() == 1 && sampling.minP() == 0
        ? drawFromAll(logits)
        : drawFromMostLikely(logits);
  }

  private void penalize(float[] logits, int[] context, int length) {
    double penalty = sampling.repetitionPenalty();
    if (penalty == 1) {
      return;
    }
    boolean[] seen = new boolean[logits.length];
    for (int i = 0; i < length; i++) {
      int token = context[i];
      if (!seen[token]) {
        seen[token] = true;
        logits[token] =
            (float) (logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty);
      }
    }
  }

  private static int largest(float[] logits) {
    int best = 0;
    for (int i = 1; i < logits.length; i++) {
      if (logits[i] > logits[best]) {
        best = i;
      }
    }
    return best;
  }

  private int drawFromAll(float[] logits) {
    double highest = logits[largest(logits)];
    double sum = 0;
    for (int i = 0; i < logits.length; i++) {
      probabilities[i] = Math.exp((logits[i] - highest) / sampling.temperature());
      sum += probabilities[i];
    }
    double left = random.nextDouble() * sum;
    for (int i = 0; i < logits.length; i++) {
      left -= probabilities[i];
      if (left < 0) {
        return i;
      }
    }
    return largest(logits); // rounding left a sliver at the end
  }

  private int drawFromMostLikely(float[] logits) {
    int vocabulary = logits.length;
    for (int i = 0; i < vocabulary; i++) {
      order[i] = ascendingKey(logits[i], i);
    }
    Arrays.sort(order, 0, vocabulary);
    int kept = sampling.topK() == 0 ? vocabulary : Math.min(sampling.topK(), vocabulary);

    double highest = logits[token(order[vocabulary - 1])];
    double sum = 0;
    for (int rank = 0; rank < kept; rank++) {
      int token = token(order[vocabulary - 1 - rank]);
      probabilities[rank] = Math.exp((logits[token] - highest) / sampling.temperature());
      sum += probabilities[rank];
    }
    // The most likely one has probability 1 / sum, so min-p is a bound on what was just computed.
    double nucleus = 0;
    int inNucleus = 0;
    while (inNucleus < kept
        && (inNucleus == 0
            || (nucleus < sampling.topP() * sum && probabilities[inNucleus] >= sampling.minP()))) {
      nucleus += probabilities[inNucleus++];
    }
    double left = random.nextDouble() * nucleus;
    for (int rank = 0; rank < inNucleus; rank++) {
      left -= probabilities[rank];
      if (left < 0) {
        return token(order[vocabulary - 1 - rank]);
      }
    }
    return token(order[vocabulary - 1]);
  }

  /** Sorts as the logit does, and of equals the lower token comes last, which is first taken. */
  private static long ascendingKey(float logit, int token) {
    int bits = Float.floatToIntBits(logit + 0f); // -0 becomes 0
    int ordered = bits < 0 ? ~bits : bits ^ 0x80000000;
    return ((long) (ordered ^ 0x80000000) << 32) | (0xffffffffL & ~token);
  }

  private static int token(long key) {
    return ~(int) key;
  }
}
