package dev.lathe.model;

import java.util.List;

/**
 * By which angles positions rotate queries and keys (Su et al. 2021, arXiv 2104.09864): pair i of a
 * head turns by {@code position * frequency(i)}.
 *
 * <p>Angles are read from a table, a row for each position. Where a model has other frequencies for
 * long sequences ({@link LongRope}), their rows come behind those of the short ones, and {@link
 * #firstRow} says where a sequence begins: it keeps its frequencies from its first token to its
 * last, because keys in the cache are rotated already.
 *
 * @param theta base of the geometric series of frequencies
 */
public record Rope(double theta, Scaling scaling) {

  /** What stretches the frequencies of a model for longer contexts. */
  public sealed interface Scaling {}

  public record None() implements Scaling {}

  /** Position interpolation (Chen et al. 2023, arXiv 2306.15595): all frequencies / factor. */
  public record Linear(double factor) implements Scaling {}

  /**
   * Llama 3.1's (Meta 2024, {@code rope_type} "llama3"): waves longer than {@code originalContext /
   * lowFrequencyFactor} tokens are stretched by the factor, those shorter than {@code
   * originalContext / highFrequencyFactor} stay, and between the two it is blended.
   */
  public record Llama3(
      double factor, double lowFrequencyFactor, double highFrequencyFactor, double originalContext)
      implements Scaling {}

  /**
   * YaRN (Peng et al. 2023, arXiv 2309.00071): pairs up to {@code firstBlended} stay, those from
   * {@code firstStretched} on are stretched by the factor, and between the two it is blended, pair
   * by pair.
   */
  public record Yarn(double factor, double firstBlended, double firstStretched, double magnitude)
      implements Scaling {}

  /**
   * LongRoPE (Ding et al. 2024, arXiv 2402.13753): the frequency of each pair divided by a number
   * of its own, by another one in sequences of more than {@code originalContext} tokens.
   */
  public record LongRope(
      List<Double> shortFactors, List<Double> longFactors, int originalContext, double magnitude)
      implements Scaling {
    public LongRope {
      shortFactors = List.copyOf(shortFactors);
      longFactors = List.copyOf(longFactors);
    }
  }

  /** The frequency of each pair divided by a number of its own, headDim / 2 of them. */
  public record Factors(List<Double> factors) implements Scaling {
    public Factors {
      factors = List.copyOf(factors);
    }
  }

  /** The row of the first token of a sequence that will have at most so many tokens. */
  public int firstRow(int mostTokens) {
    return scaling instanceof LongRope rope && mostTokens > rope.originalContext
        ? rope.originalContext
        : 0;
  }

  /** The length of what is rotated becomes so many times what it was, of queries and keys alike. */
  public double magnitude() {
    return switch (scaling) {
      case Yarn yarn -> yarn.magnitude;
      case LongRope rope -> rope.magnitude;
      default -> 1;
    };
  }

  /**
   * Radians a position of pair {@code i} of headDim / 2.
   *
   * @param mostTokens that the sequence will have
   */
  public double frequency(int i, int headDim, int mostTokens) {
    double plain = Math.pow(theta, -2.0 * i / headDim);
    return switch (scaling) {
      case None _ -> plain;
      case Linear linear -> plain / linear.factor;
      case Llama3 llama -> {
        double wavesInContext = llama.originalContext * plain / (2 * Math.PI);
        double kept =
            (wavesInContext - llama.lowFrequencyFactor)
                / (llama.highFrequencyFactor - llama.lowFrequencyFactor);
        kept = Math.clamp(kept, 0, 1);
        yield kept * plain + (1 - kept) * plain / llama.factor;
      }
      case Yarn yarn -> {
        double stretched = (i - yarn.firstBlended) / (yarn.firstStretched - yarn.firstBlended);
        stretched = Math.clamp(stretched, 0, 1);
        yield (1 - stretched) * plain + stretched * plain / yarn.factor;
      }
      case LongRope rope ->
          plain / (firstRow(mostTokens) == 0 ? rope.shortFactors : rope.longFactors).get(i);
      case Factors each -> plain / each.factors.get(i);
    };
  }
}
