package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** A {@code config.json} as the metadata of a GGUF file; the way back is {@link GgufConfig}. */
final class GgufConfigWriter {
  private static final Set<String> GELU_TANH = Set.of("gelu_pytorch_tanh", "gelu_new");

  private final ObjectNode config;
  private final GgufArchitecture architecture;
  private final String where;

  GgufConfigWriter(ObjectNode config, GgufArchitecture architecture, String where) {
    this.config = config;
    this.architecture = architecture;
    this.where = where + ": config.json";
  }

  /**
   * @return what other engines will do differently
   * @throws InvalidInputException if a key is missing, or says what the format has no key for
   */
  List<String> write(GgufMetadataBuilder out) {
    out.string("general.architecture", architecture.ggufName());
    out.string("general.type", "model");
    out.u32(key("vocab_size"), size("vocab_size"));
    if (architecture == GgufArchitecture.GPT2) {
      gpt2(out);
      return List.of();
    }
    return llamaLike(out);
  }

  private List<String> llamaLike(GgufMetadataBuilder out) {
    List<String> notes = new ArrayList<>();
    boolean gemma2 = architecture == GgufArchitecture.GEMMA2;
    if (gemma2) {
      requireActivation("hidden_activation", GELU_TANH);
    } else {
      requireActivation("hidden_act", Set.of("silu", "swish"));
    }
    long heads = size("num_attention_heads");
    long headDim = headDim();
    long layers = size("num_hidden_layers");
    long context = size("max_position_embeddings");
    out.u32(key("context_length"), context);
    out.u32(key("embedding_length"), size("hidden_size"));
    out.u32(key("block_count"), layers);
    out.u32(key("feed_forward_length"), size("intermediate_size"));
    out.u32(key("attention.head_count"), heads);
    out.u32(
        key("attention.head_count_kv"),
        present("num_key_value_heads") ? size("num_key_value_heads") : heads);
    out.u32(key("attention.key_length"), headDim).u32(key("attention.value_length"), headDim);
    out.u32(key("rope.dimension_count"), headDim);
    out.f32(key("attention.layer_norm_rms_epsilon"), number("rms_norm_eps", 1e-6));
    out.f32(key("rope.freq_base"), (float) theta());
    ropeScaling(out);
    if (headDim < 2 || headDim % 2 != 0) {
      throw bad("heads of %d elements have no pairs for rotary embedding".formatted(headDim));
    }
    new GgufWindow(architecture)
        .write(config, Math.toIntExact(layers), context, out, where)
        .ifPresent(notes::add);
    if (gemma2) {
      gemma2(out, layers, heads).ifPresent(notes::add);
    }
    return notes;
  }

  private Optional<String> gemma2(GgufMetadataBuilder out, long layers, long heads) {
    for (String cap : List.of("attn_logit_softcapping", "final_logit_softcapping")) {
      if (!present(cap)) {
        throw bad("%s is missing; a GGUF file of gemma2 has no word for no cap".formatted(cap));
      }
      out.f32(key(cap), (float) positive(cap, config.get(cap)));
    }
    double usual = GgufConfig.gemma2Scalar(layers, size("hidden_size"), heads, headDim());
    double scalar = positive("query_pre_attn_scalar", config.path("query_pre_attn_scalar"));
    if (scalar == usual) {
      return Optional.empty();
    }
    out.f32(key("attention.scale"), (float) (1 / Math.sqrt(scalar)));
    return Optional.of(
        "query_pre_attn_scalar is %s where engines take %s for granted: one that does not read %s computes something else"
            .formatted(scalar, usual, key("attention.scale")));
  }

  private void gpt2(GgufMetadataBuilder out) {
    requireActivation("activation_function", GELU_TANH);
    if (!config.path("scale_attn_weights").asBoolean(true)
        || config.path("scale_attn_by_inverse_layer_idx").asBoolean(false)) {
      throw bad("scores that are scaled otherwise have no key in a GGUF file");
    }
    long hidden = size("n_embd");
    out.u32(key("context_length"), size("n_positions"));
    out.u32(key("embedding_length"), hidden);
    out.u32(key("block_count"), size("n_layer"));
    out.u32(key("feed_forward_length"), present("n_inner") ? size("n_inner") : 4 * hidden);
    out.u32(key("attention.head_count"), size("n_head"));
    out.f32(key("attention.layer_norm_epsilon"), number("layer_norm_epsilon", 1e-5));
  }

  private void requireActivation(String key, Set<String> those) {
    JsonNode given = config.path(key);
    if (present(key) && !those.contains(given.asString(""))) {
      throw bad(
          "%s %s has no key in a GGUF file of %s; it has %s"
              .formatted(key, given, architecture.ggufName(), those.stream().sorted().toList()));
    }
  }

  /** The order of a head's rows, where it is another one. */
  Optional<GgufRows> rows() {
    return architecture.pairsNeighbours() ? Optional.of(new GgufRows(headDim())) : Optional.empty();
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
    return architecture.key(rest);
  }

  private InvalidInputException bad(String what) {
    return new InvalidInputException(where + ": " + what);
  }
}
