package dev.lathe.checkpoint;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * By what the frequencies of rotary embedding are divided: the tensor {@code rope_freqs.weight} of
 * a GGUF file, one F32 number for each pair of a head, into which the format's reference
 * implementation writes the {@code rope_type} "llama3" of a {@code config.json}.
 *
 * <pre>
 * x_i    = originalContext theta^(-2 i / headDim) / (2 pi)    waves of pair i in the context
 * kept_i = (x_i - low) / (high - low), cut to 0 .. 1
 * 1 / f_i = kept_i + (1 - kept_i) / factor
 * </pre>
 */
final class GgufRope {
  static final String TENSOR = "rope_freqs.weight";

  /** The {@code rope_type} of factors that follow from no formula; Lathe's own. */
  static final String EXPLICIT = "factors";

  /**
   * What {@code kept} may be off: the reference implementation computes x in F32, up to high (4)
   * with some units in the last place, and divides by high - low (3).
   */
  private static final double TOLERANCE = 0x1p-20;

  private final double theta;
  private final long headDim;

  GgufRope(double theta, long headDim) {
    this.theta = theta;
    this.headDim = headDim;
  }

  /** Parameters of "llama3", as its {@code config.json} has them. */
  record Llama3(double factor, double low, double high, double originalContext) {}

  private double wavesAToken(int pair) {
    return Math.pow(theta, -2.0 * pair / headDim) / (2 * Math.PI);
  }

  /** The factors of "llama3". */
  float[] factors(Llama3 llama) {
    float[] factors = new float[Math.toIntExact(headDim / 2)];
    for (int i = 0; i < factors.length; i++) {
      factors[i] = (float) (1 / (kept(llama, i) * (1 - 1 / llama.factor) + 1 / llama.factor));
    }
    return factors;
  }

  private double kept(Llama3 llama, int pair) {
    double waves = llama.originalContext * wavesAToken(pair);
    return Math.clamp((waves - llama.low) / (llama.high - llama.low), 0, 1);
  }

  /** Puts {@code rope_scaling} into a configuration: as "llama3" where that gives these factors. */
  void describe(float[] factors, ObjectNode config) {
    Optional<Llama3> llama = solve(factors);
    ObjectNode scaling = config.putObject("rope_scaling");
    if (llama.isPresent()) {
      scaling
          .put("rope_type", "llama3")
          .put("factor", llama.get().factor)
          .put("low_freq_factor", llama.get().low)
          .put("high_freq_factor", llama.get().high)
          .put("original_max_position_embeddings", (long) llama.get().originalContext);
      return;
    }
    ArrayNode list = scaling.put("rope_type", EXPLICIT).putArray("factors");
    for (float factor : factors) {
      list.add(factor);
    }
  }

  /**
   * The parameters that give these factors. The last factor is the factor of all long waves; from
   * two pairs between short and long follow the others, up to one that all share, which low = 1
   * settles as in every model that was published.
   *
   * @return empty where no round numbers give these factors
   */
  Optional<Llama3> solve(float[] factors) {
    double factor = factors[factors.length - 1];
    List<Integer> between = new ArrayList<>();
    for (int i = 0; i < factors.length; i++) {
      double kept = kept(factors[i], factor);
      if (kept > 2 * TOLERANCE && kept < 1 - 2 * TOLERANCE) {
        between.add(i);
      }
    }
    if (!(factor > 1) || between.size() < 2) {
      return Optional.empty();
    }
    int first = between.getFirst();
    int last = between.getLast();
    double keptFirst = kept(factors[first], factor);
    double slope =
        (keptFirst - kept(factors[last], factor)) / (wavesAToken(first) - wavesAToken(last));
    double belowLow = slope * wavesAToken(first) - keptFirst; // low / (high - low), low being 1
    double high = 1 + 1 / belowLow;
    double context = slope / belowLow;
    // Hundredths of the one, whole tokens of the other: nobody chose anything finer.
    Llama3 round = new Llama3(factor, 1, Math.rint(high * 100) / 100, Math.rint(context));
    if (!(round.high > 1) || !(round.originalContext >= 1) || round.originalContext > 1 << 30) {
      return Optional.empty();
    }
    for (int i = 0; i < factors.length; i++) {
      if (!(Math.abs(kept(round, i) - kept(factors[i], factor)) <= TOLERANCE)) {
        return Optional.empty();
      }
    }
    return Optional.of(round);
  }

  private static double kept(double one, double factor) {
    return (1 / one - 1 / factor) / (1 - 1 / factor);
  }
}
