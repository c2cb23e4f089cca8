package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** A {@code config.json} as the metadata of a GGUF file; the way back is {@link GgufConfig}. */
final class GgufConfigWriter {
  private final ObjectNode config;
  private final GgufArchitecture architecture;
  private final String where;

  GgufConfigWriter(ObjectNode config, GgufArchitecture architecture, String where) {
    this.config = config;
    this.architecture = architecture;
    this.where = where + ": config.json";
  }

  /**
   * @return the order of a head's rows
   * @throws InvalidInputException if a key is missing, or says what the format has no key for
   */
  GgufRows write(GgufMetadataBuilder out) {
    String activation = config.path("hidden_act").asString("silu");
    if (!activation.equals("silu") && !activation.equals("swish")) {
      throw bad("hidden_act \"%s\" has no key in a GGUF file; it has silu".formatted(activation));
    }
    boolean windowIsOff =
        config.path("use_sliding_window").isBoolean()
            && !config.path("use_sliding_window").booleanValue();
    if (present("sliding_window") && !windowIsOff) {
      throw bad("sliding_window cannot be written as GGUF by this version");
    }
    long heads = size("num_attention_heads");
    long hidden = size("hidden_size");
    long headDim = headDim();
    out.string("general.architecture", architecture.ggufName());
    out.string("general.type", "model");
    out.u32(key("context_length"), size("max_position_embeddings"));
    out.u32(key("embedding_length"), hidden);
    out.u32(key("block_count"), size("num_hidden_layers"));
    out.u32(key("feed_forward_length"), size("intermediate_size"));
    out.u32(key("attention.head_count"), heads);
    out.u32(
        key("attention.head_count_kv"),
        present("num_key_value_heads") ? size("num_key_value_heads") : heads);
    out.u32(key("attention.key_length"), headDim).u32(key("attention.value_length"), headDim);
    out.u32(key("rope.dimension_count"), headDim);
    out.u32(key("vocab_size"), size("vocab_size"));
    out.f32(key("attention.layer_norm_rms_epsilon"), number("rms_norm_eps", 1e-6));
    out.f32(key("rope.freq_base"), (float) theta());
    ropeScaling(out);
    if (headDim < 2 || headDim % 2 != 0) {
      throw bad("heads of %d elements have no pairs for rotary embedding".formatted(headDim));
    }
    return new GgufRows(headDim);
  }

  /** {@code rope_scaling}, or what newer files call it; missing where there is neither. */
  private JsonNode scaling() {
    return config.path(present("rope_parameters") ? "rope_parameters" : "rope_scaling");
  }

  private double theta() {
    JsonNode inside = scaling().path("rope_theta");
    return inside.isNumber() ? inside.asDouble() : number("rope_theta", 10_000);
  }

  private String ropeType() {
    return scaling().path("rope_type").asString(scaling().path("type").asString("default"));
  }

  private void ropeScaling(GgufMetadataBuilder out) {
    switch (ropeType()) {
      case "default" -> {}
      case "linear" -> {
        out.string(key("rope.scaling.type"), "linear");
        out.f32(key("rope.scaling.factor"), (float) scalingNumber("factor"));
      }
      case "llama3", GgufRope.EXPLICIT -> {
        if (!architecture.hasRopeFactors()) {
          throw bad(
              "RoPE scaling \"%s\" has no place in a GGUF file of the architecture %s"
                  .formatted(ropeType(), architecture.ggufName()));
        }
      }
      default ->
          throw bad(
              "rope_scaling %s cannot be written as GGUF by this version; linear and llama3 can"
                  .formatted(scaling()));
    }
  }

  /** What {@link GgufRope#TENSOR} is to hold. */
  Optional<float[]> ropeFactors() {
    return switch (ropeType()) {
      case "llama3" -> {
        GgufRope.Llama3 llama =
            new GgufRope.Llama3(
                scalingNumber("factor"),
                scalingNumber("low_freq_factor"),
                scalingNumber("high_freq_factor"),
                scalingNumber("original_max_position_embeddings"));
        if (!(llama.high() > llama.low())) {
          throw bad(
              "high_freq_factor is %s and low_freq_factor %s: the first must be larger"
                  .formatted(llama.high(), llama.low()));
        }
        yield Optional.of(new GgufRope(theta(), headDim()).factors(llama));
      }
      case GgufRope.EXPLICIT -> {
        JsonNode list = scaling().path("factors");
        if (!list.isArray() || list.size() != headDim() / 2) {
          throw bad("factors is %s; it must be a list of %d".formatted(list, headDim() / 2));
        }
        float[] factors = new float[list.size()];
        for (int i = 0; i < factors.length; i++) {
          factors[i] = (float) positive("factors", list.get(i));
        }
        yield Optional.of(factors);
      }
      default -> Optional.empty();
    };
  }

  private double scalingNumber(String key) {
    return positive(key, scaling().path(key));
  }

  private double positive(String key, JsonNode value) {
    if (!value.isNumber() || !(value.asDouble() > 0) || Double.isInfinite(value.asDouble())) {
      throw bad("%s is %s; it must be a positive number".formatted(key, value));
    }
    return value.asDouble();
  }

  private long headDim() {
    return present("head_dim")
        ? size("head_dim")
        : size("hidden_size") / size("num_attention_heads");
  }

  private boolean present(String key) {
    JsonNode value = config.path(key);
    return !value.isMissingNode() && !value.isNull();
  }

  private long size(String key) {
    JsonNode value = config.path(key);
    if (!value.isIntegralNumber() || value.asLong() < 1 || value.asLong() > Integer.MAX_VALUE) {
      throw bad("%s is %s; it must be a positive integer".formatted(key, value));
    }
    return value.asLong();
  }

  private float number(String key, double otherwise) {
    if (!present(key)) {
      return (float) otherwise;
    }
    if (!config.get(key).isNumber()) {
      throw bad("%s is %s; it must be a number".formatted(key, config.get(key)));
    }
    return (float) config.get(key).asDouble();
  }

  private String key(String rest) {
    return architecture.ggufName() + "." + rest;
  }

  private InvalidInputException bad(String what) {
    return new InvalidInputException(where + ": " + what);
  }
}
