package dev.lathe.generate;

import dev.lathe.backend.DrawParameters;
import dev.lathe.error.InvalidInputException;

/**
 * How the next token is drawn from the logits: repetition penalty, temperature, top-k, top-p,
 * min-p, in this order.
 *
 * @param temperature 0 takes the most likely token; otherwise logits are divided by it
 * @param topK only the k most likely are drawn from; 0 for all
 * @param topP only the most likely that together reach this probability (nucleus sampling: Holtzman
 *     et al. 2019, arXiv 1904.09751), in (0, 1]; 1 for all
 * @param minP only tokens at least this fraction as likely as the most likely one (Nguyen et al.
 *     2024, arXiv 2407.01082), in [0, 1]; 0 for all
 * @param repetitionPenalty logits of tokens that stand in the prompt or were generated are divided
 *     by it where positive, multiplied where negative (CTRL: Keskar et al. 2019, arXiv 1909.05858);
 *     1 is off
 * @param seed the same seed, model and batch give the same text
 */
public record Sampling(
    double temperature, int topK, double topP, double minP, double repetitionPenalty, long seed) {
  /** The most likely token, always. */
  public static final Sampling GREEDY = new Sampling(0, 0, 1, 0);

  public Sampling {
    if (!(temperature >= 0) || Double.isInfinite(temperature)) {
      throw new InvalidInputException(
          "temperature is %s; it must be 0 (greedy) or more".formatted(temperature));
    }
    if (topK < 0) {
      throw new InvalidInputException("top-k is %d; it must be 0 (off) or more".formatted(topK));
    }
    if (!(topP > 0 && topP <= 1)) {
      throw new InvalidInputException(
          "top-p is %s; it must be above 0 and at most 1 (off)".formatted(topP));
    }
    if (!(minP >= 0 && minP <= 1)) {
      throw new InvalidInputException("min-p is %s; it must be from 0 (off) to 1".formatted(minP));
    }
    if (!(repetitionPenalty > 0) || Double.isInfinite(repetitionPenalty)) {
      throw new InvalidInputException(
          "repetition penalty is %s; it must be above 0, and 1 is off"
              .formatted(repetitionPenalty));
    }
  }

  /** Without min-p and repetition penalty. */
  public Sampling(double temperature, int topK, double topP, long seed) {
    this(temperature, topK, topP, 0, 1, seed);
  }

  /** The same with another seed. */
  public Sampling withSeed(long other) {
    return new Sampling(temperature, topK, topP, minP, repetitionPenalty, other);
  }

  /** For a device: what the token that comes after {@code before} others is drawn by. */
  DrawParameters draw(long before) {
    return new DrawParameters(temperature, topK, topP, minP, repetitionPenalty, seed, before);
  }

  /** True where the token is that of the largest logit, so that a device can find it. */
  public boolean isGreedy() {
    return temperature == 0 && repetitionPenalty == 1;
  }
}
