package dev.lathe.backend;

/**
 * How the next token of one row is drawn: repetition penalty, temperature, top-k, top-p, min-p, in
 * this order, and how often its generator was drawn from before.
 *
 * @param temperature 0 takes the most likely token
 * @param topK 0 is off
 * @param topP in (0, 1]; 1 is off
 * @param minP in [0, 1]; 0 is off
 * @param repetitionPenalty 1 is off
 * @param seed of a {@link java.util.SplittableRandom}
 * @param draw how many doubles the generator of this seed has given before
 */
public record DrawParameters(
    double temperature,
    int topK,
    double topP,
    double minP,
    double repetitionPenalty,
    long seed,
    long draw) {

  /** The largest logit as it is. */
  public static final DrawParameters LARGEST = new DrawParameters(0, 0, 1, 0, 1, 0, 0);
}
