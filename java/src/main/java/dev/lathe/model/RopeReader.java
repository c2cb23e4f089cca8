package dev.lathe.model;

import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;

/**
 * How positions rotate queries and keys, from {@code rope_theta} and {@code rope_scaling}, or from
 * {@code rope_parameters}, where newer files have both. Meaning and defaults are transformers'.
 *
 * @param contextLength {@code max_position_embeddings}
 */
record RopeReader(ConfigKeys keys, Architecture architecture, int headDim, int contextLength) {
  private static final String TRAINED_CONTEXT = "original_max_position_embeddings";

  Rope read() {
    String key = keys.present("rope_parameters") ? "rope_parameters" : "rope_scaling";
    if (keys.present("rope_parameters") && keys.present("rope_scaling")) {
      throw keys.invalid("rope_parameters and rope_scaling are both there; one must go");
    }
    double theta = keys.positive("rope_theta", 10_000);
    if (!keys.present(key)) {
      return new Rope(theta, new Rope.None());
    }
    ConfigKeys scaling = keys.below(key);
    UnsupportedKeys.refuse(scaling, architecture);
    theta = scaling.positive("rope_theta", theta);
    String type = scaling.text("rope_type", scaling.text("type", "default"));
    return new Rope(
        theta,
        switch (type) {
          case "default" -> new Rope.None();
          case "linear" -> new Rope.Linear(scaling.positive("factor"));
          case "llama3" -> llama3(scaling);
          case "yarn" -> yarn(scaling, theta);
          // "su" is what Phi-3's first files called it.
          case "longrope", "su" -> longRope(scaling);
          case "factors" -> new Rope.Factors(factors(scaling, "factors"));
          default ->
              throw keys.invalid(
                  "%s asks for RoPE scaling \"%s\", which this version does not run; it runs"
                      + " default, linear, llama3, yarn, longrope and factors",
                  key, type);
        });
  }

  private static Rope.Scaling llama3(ConfigKeys scaling) {
    double low = scaling.positive("low_freq_factor");
    double high = scaling.positive("high_freq_factor");
    if (!(high > low)) {
      throw scaling.invalid(
          "high_freq_factor is %s and low_freq_factor %s: the first must be larger", high, low);
    }
    return new Rope.Llama3(
        scaling.positive("factor"), low, high, scaling.positive(TRAINED_CONTEXT));
  }

  /** Which pairs are stretched follows from how often they turn within the trained context. */
  private Rope.Scaling yarn(ConfigKeys scaling, double theta) {
    double factor = scaling.positive("factor");
    double trained = scaling.size(TRAINED_CONTEXT, contextLength);
    double fast = scaling.positive("beta_fast", 32);
    double slow = scaling.positive("beta_slow", 1);
    if (!(fast > slow) || !(theta > 1)) {
      throw scaling.invalid(
          "beta_fast is %s, beta_slow %s and rope_theta %s: the first must be larger than the"
              + " second, and the third than 1",
          fast, slow, theta);
    }
    double first = pairThatTurns(fast, trained, theta);
    double last = pairThatTurns(slow, trained, theta);
    if (scaling.flag("truncate", true)) {
      first = Math.floor(first);
      last = Math.ceil(last);
    }
    first = Math.max(first, 0);
    last = Math.min(last, headDim - 1.0);
    if (first == last) {
      last += 0.001; // so that there is something to divide by
    }
    return new Rope.Yarn(factor, first, last, yarnMagnitude(scaling, factor));
  }

  /** The pair, as a fraction, that turns so often in so many tokens. */
  private double pairThatTurns(double times, double tokens, double theta) {
    return headDim * Math.log(tokens / (times * 2 * Math.PI)) / (2 * Math.log(theta));
  }

  private static double yarnMagnitude(ConfigKeys scaling, double factor) {
    double usual = temperature(factor, 1);
    if (scaling.present("mscale") && scaling.present("mscale_all_dim")) {
      usual =
          temperature(factor, scaling.positive("mscale"))
              / temperature(factor, scaling.positive("mscale_all_dim"));
    }
    return scaling.positive("attention_factor", usual);
  }

  private static double temperature(double factor, double scale) {
    return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
  }

  private Rope.Scaling longRope(ConfigKeys scaling) {
    int outer = keys.size(TRAINED_CONTEXT, contextLength);
    int trained = scaling.size(TRAINED_CONTEXT, outer);
    double factor =
        trained == contextLength ? scaling.positive("factor", 1) : (double) contextLength / trained;
    double usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
    return new Rope.LongRope(
        factors(scaling, "short_factor"),
        factors(scaling, "long_factor"),
        trained,
        scaling.positive("attention_factor", usual));
  }

  /** A number for each pair. */
  private List<Double> factors(ConfigKeys scaling, String key) {
    List<Double> factors = new ArrayList<>();
    JsonNode list = scaling.get(key);
    for (JsonNode factor : list == null || !list.isArray() ? List.<JsonNode>of() : list.values()) {
      factors.add(factor.isNumber() ? factor.doubleValue() : Double.NaN);
    }
    if (factors.size() != headDim / 2
        || factors.stream().anyMatch(factor -> !(factor > 0) || factor.isInfinite())) {
      throw scaling.invalid(
          "%s is %s; it must be a list of %d positive numbers", key, list, headDim / 2);
    }
    return factors;
  }
}
