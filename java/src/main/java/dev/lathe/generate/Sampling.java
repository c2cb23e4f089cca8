package dev.lathe.generate;

import dev.lathe.error.InvalidInputException;

/**
 * How the next token is drawn from the logits.
 *
 * @param temperature 0 takes the most likely token; otherwise logits are divided by it
 * @param topK only the k most likely are drawn from; 0 for all
 * @param topP only the most likely that together reach this probability (nucleus sampling: Holtzman
 *     et al. 2019, arXiv 1904.09751), in (0, 1]; 1 for all
 * @param seed the same seed, model and batch give the same text
 */
public record Sampling(double temperature, int topK, double topP, long seed) {
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
  }

  public boolean isGreedy() {
    return temperature == 0;
  }
}
