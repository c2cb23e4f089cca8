package dev.lathe.model;

import dev.lathe.backend.Activation;
import dev.lathe.error.InvalidInputException;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** Turns a {@code config.json} into a {@link ModelConfig}, key by key, with every check. */
final class ConfigReader {
  /** Sizes beyond this are taken for a broken file: no model comes near it. */
  private static final int LARGEST_SIZE = 1 << 28;

  private static final Map<String, Activation> ACTIVATIONS =
      Map.of(
          "silu", Activation.SILU,
          "swish", Activation.SILU,
          "gelu", Activation.GELU,
          "gelu_new", Activation.GELU_TANH,
          "gelu_pytorch_tanh", Activation.GELU_TANH);

  private final ObjectNode config;
  private final String where;

  ConfigReader(ObjectNode config, String where) {
    this.config = config;
    this.where = where;
  }

  ModelConfig read() {
    String architecture = architecture();
    requireAbsent("rope_scaling", "RoPE scaling");
    requireAbsent("sliding_window", "sliding-window attention");
    requireFalse("attention_bias");
    requireFalse("mlp_bias");

    int hidden = size("hidden_size");
    int heads = size("num_attention_heads");
    int kvHeads = size("num_key_value_heads", heads);
    if (heads % kvHeads != 0) {
      throw invalid(
          "num_attention_heads is %d and num_key_value_heads %d: the first must be a multiple of"
              + " the second",
          heads, kvHeads);
    }
    if (!present("head_dim") && hidden % heads != 0) {
      throw invalid(
          "hidden_size is %d and num_attention_heads %d: without head_dim the first must be a"
              + " multiple of the second",
          hidden, heads);
    }
    int headDim = size("head_dim", hidden / heads);
    if (headDim % 2 != 0) {
      throw invalid("head_dim is %d: rotary embedding pairs elements, so it must be even", headDim);
    }
    int vocabulary = size("vocab_size");
    return new ModelConfig(
        architecture,
        hidden,
        size("intermediate_size"),
        size("num_hidden_layers"),
        heads,
        kvHeads,
        headDim,
        vocabulary,
        size("max_position_embeddings"),
        (float) positive("rms_norm_eps", 1e-6),
        positive("rope_theta", 10_000),
        flag("tie_word_embeddings", false),
        activation(),
        tokens("bos_token_id", vocabulary).stream().mapToInt(Integer::intValue).findFirst(),
        tokens("eos_token_id", vocabulary));
  }

  private String architecture() {
    String name;
    JsonNode listed = config.get("architectures");
    if (listed != null && listed.isArray() && !listed.isEmpty() && listed.get(0).isString()) {
      name = listed.get(0).asString();
    } else if (present("model_type") && config.get("model_type").isString()) {
      name = config.get("model_type").asString();
    } else {
      throw invalid("neither architectures nor model_type says what the model is");
    }
    if (!name.equals("LlamaForCausalLM") && !name.equals("llama")) {
      throw invalid("architecture \"%s\" is not known; this version runs LlamaForCausalLM", name);
    }
    return "LlamaForCausalLM";
  }

  private Activation activation() {
    String name = present("hidden_act") ? config.get("hidden_act").asString("") : "silu";
    Activation activation = ACTIVATIONS.get(name);
    if (activation == null) {
      throw invalid(
          "hidden_act \"%s\" is not known; known are %s",
          name, String.join(", ", ACTIVATIONS.keySet().stream().sorted().toList()));
    }
    return activation;
  }

  private void requireAbsent(String key, String meaning) {
    if (present(key)) {
      throw invalid("%s asks for %s, which this version does not run", key, meaning);
    }
  }

  private void requireFalse(String key) {
    if (flag(key, false)) {
      throw invalid("%s is true: biases are not run by this version", key);
    }
  }

  private boolean present(String key) {
    JsonNode value = config.get(key);
    return value != null && !value.isNull();
  }

  private int size(String key) {
    if (!present(key)) {
      throw invalid("%s is missing; it must be a positive integer", key);
    }
    JsonNode value = config.get(key);
    if (!value.isIntegralNumber()
        || !value.canConvertToInt()
        || value.intValue() < 1
        || value.intValue() > LARGEST_SIZE) {
      throw invalid("%s is %s; it must be an integer from 1 to %d", key, value, LARGEST_SIZE);
    }
    return value.intValue();
  }

  private int size(String key, int otherwise) {
    return present(key) ? size(key) : otherwise;
  }

  private double positive(String key, double otherwise) {
    if (!present(key)) {
      return otherwise;
    }
    JsonNode value = config.get(key);
    if (!value.isNumber() || !(value.doubleValue() > 0) || Double.isInfinite(value.doubleValue())) {
      throw invalid("%s is %s; it must be a positive number", key, value);
    }
    return value.doubleValue();
  }

  private boolean flag(String key, boolean otherwise) {
    if (!present(key)) {
      return otherwise;
    }
    if (!config.get(key).isBoolean()) {
      throw invalid("%s is %s; it must be true or false", key, config.get(key));
    }
    return config.get(key).booleanValue();
  }

  /** One id or a list of them; empty where the key is absent. */
  private Set<Integer> tokens(String key, int vocabulary) {
    Set<Integer> ids = new LinkedHashSet<>();
    if (!present(key)) {
      return ids;
    }
    JsonNode value = config.get(key);
    for (JsonNode id : value.isArray() ? value.values() : java.util.List.of(value)) {
      if (!id.isIntegralNumber()
          || !id.canConvertToInt()
          || id.intValue() < 0
          || id.intValue() >= vocabulary) {
        throw invalid("%s is %s; ids go from 0 to %d (vocab_size)", key, value, vocabulary - 1);
      }
      ids.add(id.intValue());
    }
    return ids;
  }

  private InvalidInputException invalid(String message, Object... arguments) {
    return new InvalidInputException(where + ": " + message.formatted(arguments));
  }
}
