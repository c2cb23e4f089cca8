package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The metadata of a GGUF file as a {@code config.json}: what the model is, in the words that the
 * model's own reader checks.
 */
final class GgufConfig {
  static final String TOKENIZER = "tokenizer.ggml.";

  /** Keys of the architecture that change what is computed, and the value that changes nothing. */
  private static final Map<String, Long> MUST_BE =
      Map.of(
          "expert_count", 0L,
          "expert_used_count", 0L);

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
    MUST_BE.forEach((key, value) -> {
      if (metadata.integer(key(key)).orElse(value) != value) {
        throw metadata.bad(key(key), "asks for experts, which Lathe does not run");
      }
    });
    ObjectNode config = StrictJson.mapper().createObjectNode();
    config.putArray("architectures").add(architecture.className());
    config.put("model_type", architecture.modelType());
    config.put("hidden_size", required("embedding_length"));
    config.put("intermediate_size", required("feed_forward_length"));
    config.put("num_hidden_layers", required("block_count"));
    config.put("num_attention_heads", required("attention.head_count"));
    config.put("num_key_value_heads", keyHeads());
    config.put("head_dim", headDim());
    config.put("vocab_size", vocabulary);
    config.put(
        "rms_norm_eps",
        metadata
            .number(key("attention.layer_norm_rms_epsilon"))
            .orElseThrow(() -> missing("attention.layer_norm_rms_epsilon")));
    config.put("rope_theta", metadata.number(key("rope.freq_base")).orElse(10_000));
    config.put("max_position_embeddings", required("context_length"));
    config.put("tie_word_embeddings", !tensors.contains("lm_head.weight"));
    config.put("hidden_act", "silu");
    config.put("attention_bias", tensors.stream().anyMatch(t -> t.endsWith("_proj.bias")));
    config.put("mlp_bias", tensors.stream().anyMatch(t -> t.endsWith("down_proj.bias")));
    metadata
        .integer(key("attention.sliding_window"))
        .ifPresent(window -> config.put("sliding_window", window));
    ropeScaling(config, ropeFactors);
    tokens(config);
    return config;
  }

  /** Elements of a head; those of the values must be as many, and all of them must be rotated. */
  long headDim() {
    long heads = required("attention.head_count");
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

  private void ropeScaling(ObjectNode config, Optional<float[]> factors) {
    String type = metadata.string(key("rope.scaling.type")).orElse("none");
    if (type.equals("linear")) {
      config
          .putObject("rope_scaling")
          .put("rope_type", "linear")
          .put(
              "factor",
              metadata
                  .number(key("rope.scaling.factor"))
                  .orElseThrow(() -> missing("rope.scaling.factor")));
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

  private InvalidInputException missing(String key) {
    return new InvalidInputException(
        "%s: the metadata key %s is missing; a model of the architecture %s has it"
            .formatted(where, key(key), architecture.ggufName()));
  }

  private String key(String rest) {
    return architecture.ggufName() + "." + rest;
  }
}
