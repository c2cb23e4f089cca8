package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The metadata of a GGUF file as a {@code config.json}: what the model is, in the words that the
 * model's own reader checks.
 */
final class GgufConfig {
  private static final Logger log = LoggerFactory.getLogger(GgufConfig.class);

  static final String TOKENIZER = "tokenizer.ggml.";

  /** Gemma 2 of 27 billion parameters scales scores otherwise; it is known by its layers. */
  static final int GEMMA2_27B_LAYERS = 46;

  /** What the format's reference implementation takes where a Gemma 2 file does not say. */
  private static final double GEMMA2_SCORE_CAP = 50;

  private static final double GEMMA2_LOGIT_CAP = 30;

  /** Far beyond any model; what is said layer by layer fits into memory. */
  private static final long MOST_LAYERS = 1 << 16;

  private final GgufMetadata metadata;
  private final GgufArchitecture architecture;
  private final Set<String> tensors;
  private final String where;

  /**
   * @param tensors Hugging Face names of all tensors
   */
  GgufConfig(
      GgufMetadata metadata, GgufArchitecture architecture, Set<String> tensors, String where) {
    this.metadata = metadata;
    this.architecture = architecture;
    this.tensors = tensors;
    this.where = where;
  }

  /**
   * @param vocabulary rows of the embedding table
   * @param ropeFactors what {@link GgufRope#TENSOR} holds
   * @throws InvalidInputException if a key is missing or asks for what the configuration has no
   *     word for
   */
  ObjectNode read(long vocabulary, Optional<float[]> ropeFactors) {
    GgufUnsupportedKeys.refuse(metadata, architecture);
    List<String> unknown = GgufUnsupportedKeys.unknown(metadata, architecture);
    if (!unknown.isEmpty()) {
      log.warn(
          "{}: this version does not know {}: if that changes what the model computes, results are"
              + " wrong",
          where,
          String.join(", ", unknown));
    }
    ObjectNode config = StrictJson.mapper().createObjectNode();
    config.putArray("architectures").add(architecture.className());
    config.put("model_type", architecture.modelType());
    config.put("vocab_size", vocabulary);
    config.put("tie_word_embeddings", !tensors.contains("lm_head.weight"));
    if (architecture == GgufArchitecture.GPT2) {
      gpt2(config);
    } else {
      llamaLike(config, ropeFactors);
    }
    tokens(config);
    return config;
  }

  private void llamaLike(ObjectNode config, Optional<float[]> ropeFactors) {
    config.put("hidden_size", required("embedding_length"));
    config.put("intermediate_size", required("feed_forward_length"));
    config.put("num_hidden_layers", layers());
    config.put("num_attention_heads", required("attention.head_count"));
    config.put("num_key_value_heads", keyHeads());
    config.put("head_dim", headDim());
    config.put("rms_norm_eps", requiredNumber("attention.layer_norm_rms_epsilon"));
    config.put("rope_theta", number("rope.freq_base").orElse(10_000));
    config.put("max_position_embeddings", required("context_length"));
    if (architecture == GgufArchitecture.GEMMA2) {
      gemma2(config);
    } else {
      config.put("hidden_act", "silu");
    }
    if (architecture == GgufArchitecture.LLAMA || architecture == GgufArchitecture.QWEN3) {
      config.put("attention_bias", hasAny("self_attn.q_proj.bias"));
    }
    if (architecture == GgufArchitecture.LLAMA) {
      config.put("mlp_bias", hasAny("mlp.down_proj.bias"));
    }
    new GgufWindow(architecture).read(metadata, config, Math.toIntExact(layers()));
    ropeScaling(config, ropeFactors);
  }

  private boolean hasAny(String ending) {
    return tensors.stream().anyMatch(tensor -> tensor.endsWith(ending));
  }

  private void gemma2(ObjectNode config) {
    config.put("hidden_activation", "gelu_pytorch_tanh");
    config.put("attn_logit_softcapping", number("attn_logit_softcapping").orElse(GEMMA2_SCORE_CAP));
    config.put(
        "final_logit_softcapping", number("final_logit_softcapping").orElse(GEMMA2_LOGIT_CAP));
    double usual = gemma2Scalar(layers(), required("embedding_length"), heads(), headDim());
    double scalar =
        number("attention.scale").stream()
            .map(scale -> 1 / (scale * scale))
            .findFirst()
            .orElse(usual);
    // The scale was rounded to F32; the number behind it mostly was a whole one.
    boolean whole = Math.abs(scalar - Math.rint(scalar)) <= 0x1p-22 * scalar;
    config.put("query_pre_attn_scalar", whole ? Math.rint(scalar) : scalar);
  }

  /** By what Gemma 2 divides scores, squared, where no key says it. */
  static double gemma2Scalar(long layers, long hidden, long heads, long headDim) {
    return layers == GEMMA2_27B_LAYERS ? (double) hidden / heads : headDim;
  }

  private void gpt2(ObjectNode config) {
    long heads = required("attention.head_count");
    long keyHeads = metadata.integer(key("attention.head_count_kv")).orElse(heads);
    if (keyHeads != heads) {
      throw metadata.bad(
          key("attention.head_count_kv"),
          "is %d; an architecture without groups has as many as heads, %d"
              .formatted(keyHeads, heads));
    }
    config.put("n_embd", required("embedding_length"));
    config.put("n_inner", required("feed_forward_length"));
    config.put("n_layer", layers());
    config.put("n_head", heads);
    config.put("n_positions", required("context_length"));
    config.put("layer_norm_epsilon", requiredNumber("attention.layer_norm_epsilon"));
    config.put("activation_function", "gelu_new");
  }

  long layers() {
    long layers = required("block_count");
    if (layers > MOST_LAYERS) {
      throw metadata.bad(
          key("block_count"),
          "is %d; a model has at most %d layers".formatted(layers, MOST_LAYERS));
    }
    return layers;
  }

  private long heads() {
    return required("attention.head_count");
  }

  /** Elements of a head; those of the values must be as many, and all of them must be rotated. */
  long headDim() {
    long heads = heads();
    long hidden = required("embedding_length");
    OptionalLong keyLength = metadata.integer(key("attention.key_length"));
    if (heads < 1 || (keyLength.isEmpty() && hidden % heads != 0)) {
      throw metadata.bad(
          key("attention.head_count"),
          "is %d; it must be positive and divide the embedding length, %d"
              .formatted(heads, hidden));
    }
    long headDim = keyLength.orElse(hidden / Math.max(heads, 1));
    if (headDim < 2 || headDim % 2 != 0) {
      throw metadata.bad(
          key("attention.key_length"),
          "makes heads of %d elements; rotary embedding needs pairs".formatted(headDim));
    }
    mustEqual("attention.value_length", headDim);
    mustEqual("rope.dimension_count", headDim);
    return headDim;
  }

  private void mustEqual(String key, long headDim) {
    long value = metadata.integer(key(key)).orElse(headDim);
    if (value != headDim) {
      throw metadata.bad(key(key), "is %d, but a head has %d elements".formatted(value, headDim));
    }
  }

  /** One number, or one for each layer, which must be the same. */
  private long keyHeads() {
    String key = key("attention.head_count_kv");
    GgufMetadata.Value value = metadata.values().get(key);
    if (value == null || !value.isArray()) {
      return metadata.integer(key).orElseGet(() -> required("attention.head_count"));
    }
    long[] all = metadata.integers(key).orElseThrow();
    for (long heads : all) {
      if (heads != all[0]) {
        throw metadata.bad(key, "differs from layer to layer, which Lathe does not run");
      }
    }
    if (all.length == 0) {
      throw metadata.bad(key, "is empty; it must be a positive number");
    }
    return all[0];
  }

  /** A factor without a type means linear, as in the format's reference implementation. */
  private void ropeScaling(ObjectNode config, Optional<float[]> factors) {
    OptionalDouble factor = number("rope.scaling.factor");
    if (factor.isEmpty()) {
      factor = number("rope.scale_linear");
    }
    boolean scaled = factor.isPresent() && factor.getAsDouble() != 0;
    String type = metadata.string(key("rope.scaling.type")).orElse(scaled ? "linear" : "none");
    if (type.equals("linear")) {
      if (!scaled) {
        throw missing("rope.scaling.factor");
      }
      config
          .putObject("rope_scaling")
          .put("rope_type", "linear")
          .put("factor", factor.getAsDouble());
    } else if (!type.equals("none")) {
      throw metadata.bad(
          key("rope.scaling.type"), "is \"%s\"; Lathe reads none and linear".formatted(type));
    }
    if (factors.isPresent()) {
      if (config.has("rope_scaling")) {
        throw metadata.bad(
            key("rope.scaling.type"),
            "is linear, and %s is there as well".formatted(GgufRope.TENSOR));
      }
      new GgufRope(config.get("rope_theta").doubleValue(), headDim())
          .describe(factors.get(), config);
    }
  }

  private void tokens(ObjectNode config) {
    metadata.token(TOKENIZER + "bos_token_id").ifPresent(id -> config.put("bos_token_id", id));
    OptionalLong end = metadata.token(TOKENIZER + "eos_token_id");
    OptionalLong endOfTurn = metadata.token(TOKENIZER + "eot_token_id");
    if (end.isPresent() && endOfTurn.isPresent() && !end.equals(endOfTurn)) {
      ArrayNode both = config.putArray("eos_token_id");
      both.add(end.getAsLong()).add(endOfTurn.getAsLong());
    } else {
      end.ifPresent(id -> config.put("eos_token_id", id));
    }
  }

  private long required(String key) {
    return metadata.integer(key(key)).orElseThrow(() -> missing(key));
  }

  private OptionalDouble number(String key) {
    return metadata.number(key(key));
  }

  private double requiredNumber(String key) {
    return number(key).orElseThrow(() -> missing(key));
  }

  private InvalidInputException missing(String key) {
    return new InvalidInputException(
        "%s: the metadata key %s is missing; a model of the architecture %s has it"
            .formatted(where, key(key), architecture.ggufName()));
  }

  private String key(String rest) {
    return architecture.key(rest);
  }
}
