package dev.lathe.model;

import java.util.List;

/**
 * By which angles positions rotate queries and keys (Su et al. 2021, arXiv 2104.09864): pair i of a
 * head turns by {@code position * frequency(i)}.
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

  /** The frequency of each pair divided by a number of its own, headDim / 2 of them. */
  public record Factors(List<Double> factors) implements Scaling {
    public Factors {
      factors = List.copyOf(factors);
    }
  }

  /** Radians a position of pair {@code i} of headDim / 2. */
  public double frequency(int i, int headDim) {
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
      case Factors each -> plain / each.factors.get(i);
    };
  }
}
