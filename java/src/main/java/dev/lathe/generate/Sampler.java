package dev.lathe.generate;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;

/** Draws tokens for one request: temperature, then top-k, then top-p. */
final class Sampler {
  private final Sampling sampling;
  private final SplittableRandom random;
  private float[] logits = new float[0];
  private double[] probabilities = new double[0];
  private long[] order = new long[0];

  Sampler(Sampling sampling) {
    this.sampling = sampling;
    this.random = new SplittableRandom(sampling.seed());
  }

  /**
   * The next token.
   *
   * @param row [vocabulary] F32 logits on the host, all finite
   */
  int draw(MemorySegment row, int vocabulary) {
    if (logits.length < vocabulary) {
      logits = new float[vocabulary];
      probabilities = new double[vocabulary];
      order = new long[vocabulary];
    }
    MemorySegment.copy(row, ValueLayout.JAVA_FLOAT_UNALIGNED, 0, logits, 0, vocabulary);
    if (sampling.isGreedy()) {
      return largest(vocabulary);
    }
    return sampling.topK() == 0 && sampling.topP() == 1
        ? drawFromAll(vocabulary)
        : drawFromMostLikely(vocabulary);
  }

  private int largest(int vocabulary) {
    int best = 0;
    for (int i = 1; i < vocabulary; i++) {
      if (logits[i] > logits[best]) {
        best = i;
      }
    }
    return best;
  }

  private int drawFromAll(int vocabulary) {
    double highest = logits[largest(vocabulary)];
    double sum = 0;
    for (int i = 0; i < vocabulary; i++) {
      probabilities[i] = Math.exp((logits[i] - highest) / sampling.temperature());
      sum += probabilities[i];
    }
    double left = random.nextDouble() * sum;
    for (int i = 0; i < vocabulary; i++) {
      left -= probabilities[i];
      if (left < 0) {
        return i;
      }
    }
    return largest(vocabulary); // rounding left a sliver at the end
  }

  private int drawFromMostLikely(int vocabulary) {
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
    double nucleus = 0;
    int inNucleus = 0;
    while (inNucleus < kept && (inNucleus == 0 || nucleus < sampling.topP() * sum)) {
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
