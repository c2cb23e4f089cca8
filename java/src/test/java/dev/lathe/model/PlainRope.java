package dev.lathe.model;

import tools.jackson.databind.node.ObjectNode;

/** Rotary embedding for {@link PlainDecoder}, from the raw configuration, as the papers have it. */
final class PlainRope {
  private final ObjectNode config;
  private final ObjectNode scaling;
  private final String type;
  private final double theta;
  private final int d;
  private final int tokens;

  PlainRope(ObjectNode config, int d, int tokens) {
    this.config = config;
    this.d = d;
    this.tokens = tokens;
    String key = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
    scaling = config.has(key) ? (ObjectNode) config.get(key) : config.objectNode();
    ObjectNode base = scaling.has("rope_theta") ? scaling : config;
    theta = number(base, "rope_theta", 10_000);
    type =
        scaling.has("type")
            ? scaling.get("type").asString()
            : scaling.has("rope_type") ? scaling.get("rope_type").asString() : "default";
  }

  private static double number(ObjectNode in, String key, double otherwise) {
    return in.has(key) ? in.get(key).asDouble() : otherwise;
  }

  double frequency(int i) {
    double frequency = 1 / Math.pow(theta, 2.0 * i / d);
    return switch (type) {
      case "default" -> frequency;
      case "linear" -> frequency / factor();
      case "llama3" -> llama3(frequency);
      case "yarn" -> yarn(frequency, i);
      default -> {
        String list = tokens > trained() ? "long_factor" : "short_factor";
        yield frequency / scaling.get(list).get(i).asDouble();
      }
    };
  }

  private double factor() {
    return scaling.get("factor").asDouble();
  }

  /** Tokens of the training that came before the stretching. */
  private double trained() {
    String key = "original_max_position_embeddings";
    return number(
        scaling, key, number(config, key, config.get("max_position_embeddings").asDouble()));
  }

  /** By wavelength. */
  private double llama3(double frequency) {
    double wavelength = 2 * Math.PI / frequency;
    double low = scaling.get("low_freq_factor").asDouble();
    double high = scaling.get("high_freq_factor").asDouble();
    if (wavelength < trained() / high) {
      return frequency;
    }
    if (wavelength > trained() / low) {
      return frequency / factor();
    }
    double smooth = (trained() / wavelength - low) / (high - low);
    return (1 - smooth) * frequency / factor() + smooth * frequency;
  }

  /**
   * Pairs that turn often within the trained context stay, those that hardly turn are stretched.
   * Where a pair turns exactly n times, theta^(2 i / d) = trained / (2 pi n).
   */
  private double yarn(double frequency, int i) {
    double from = solve(number(scaling, "beta_fast", 32));
    double to = solve(number(scaling, "beta_slow", 1));
    if (!scaling.has("truncate")) {
      from = Math.floor(from);
      to = Math.ceil(to);
    }
    from = from < 0 ? 0 : from;
    to = to > d - 1 ? d - 1 : to;
    double share = i <= from ? 0 : i >= to ? 1 : (i - from) / (to - from);
    return frequency * (1 - share) + frequency / factor() * share;
  }

  private double solve(double turns) {
    return d / 2.0 * Math.log(trained() / (2 * Math.PI * turns)) / Math.log(theta);
  }

  double magnitude() {
    if (scaling.has("attention_factor")) {
      return scaling.get("attention_factor").asDouble();
    }
    if (type.equals("yarn")) {
      double log = Math.log(factor()) / 10;
      return scaling.has("mscale")
          ? (1 + scaling.get("mscale").asDouble() * log)
              / (1 + scaling.get("mscale_all_dim").asDouble() * log)
          : 1 + log;
    }
    if (type.equals("su") || type.equals("longrope")) {
      double longer = config.get("max_position_embeddings").asDouble() / trained();
      return Math.sqrt(1 + Math.log(longer) / Math.log(trained()));
    }
    return 1;
  }
}
