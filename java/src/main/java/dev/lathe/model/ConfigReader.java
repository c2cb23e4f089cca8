package dev.lathe.model;

import static dev.lathe.model.Architecture.Trait.ATTENTION_BIAS;
import static dev.lathe.model.Architecture.Trait.CAPPED;
import static dev.lathe.model.Architecture.Trait.FEED_FORWARD_BIAS;
import static dev.lathe.model.Architecture.Trait.GPT2_STYLE;
import static dev.lathe.model.Architecture.Trait.HEAD_DIM_REQUIRED;
import static dev.lathe.model.Architecture.Trait.QUERY_KEY_VALUE_BIAS;
import static dev.lathe.model.Architecture.Trait.TIED;

import dev.lathe.backend.Activation;
import dev.lathe.model.ModelConfig.Biases;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** Turns a {@code config.json} into a {@link ModelConfig}, key by key, with every check. */
final class ConfigReader {
  private static final Map<String, Activation> ACTIVATIONS =
      Map.of(
          "silu", Activation.SILU,
          "swish", Activation.SILU,
          "gelu", Activation.GELU,
          "gelu_new", Activation.GELU_TANH,
          "gelu_pytorch_tanh", Activation.GELU_TANH);

  /** Far beyond any model; keeps a few bytes of JSON from filling the heap with layers. */
  private static final int MOST_LAYERS = 1 << 14;

  private final ConfigKeys keys;
  private final Architecture architecture;

  ConfigReader(ObjectNode config, String where) {
    this.keys = new ConfigKeys(config, where);
    this.architecture = architecture();
  }

  ModelConfig read() {
    UnsupportedKeys.refuse(keys, architecture);
    int hidden = keys.size(key("hidden_size"));
    int layers = layers();
    int heads = keys.size(key("num_attention_heads"));
    int kvHeads = kvHeads(heads);
    int headDim = headDim(hidden, heads);
    int vocabulary = keys.size("vocab_size");
    int intermediate =
        architecture.has(GPT2_STYLE)
            ? keys.size(key("intermediate_size"), 4 * hidden)
            : keys.size(key("intermediate_size"));
    int contextLength = keys.size(key("max_position_embeddings"));
    return new ModelConfig(
        architecture.className,
        hidden,
        intermediate,
        layers,
        heads,
        kvHeads,
        headDim,
        vocabulary,
        contextLength,
        (float) keys.positive(key("rms_norm_eps"), architecture.has(GPT2_STYLE) ? 1e-5 : 1e-6),
        new AttentionReader(keys, architecture, layers).read(heads, kvHeads, headDim),
        rope(headDim, contextLength),
        architecture.has(CAPPED) ? (float) Math.sqrt(hidden) : 1,
        architecture.has(CAPPED) ? (float) keys.positive("final_logit_softcapping", 0) : 0,
        keys.flag("tie_word_embeddings", architecture.has(TIED)),
        !architecture.has(GPT2_STYLE),
        biases(),
        activation(),
        keys.tokens("bos_token_id", vocabulary).stream().mapToInt(Integer::intValue).findFirst(),
        keys.tokens("eos_token_id", vocabulary));
  }

  /** After reading: what says something that neither was read nor is known to change nothing. */
  List<String> unknownKeys() {
    return HarmlessKeys.without(keys.notAskedFor(), keys);
  }

  private String key(String llamas) {
    return architecture.key(llamas);
  }

  private int layers() {
    String key = key("num_hidden_layers");
    int layers = keys.size(key);
    if (layers > MOST_LAYERS) {
      throw keys.invalid("%s is %d; at most %d are read", key, layers, MOST_LAYERS);
    }
    return layers;
  }

  private Architecture architecture() {
    String name;
    JsonNode listed = keys.get("architectures");
    if (listed != null && listed.isArray() && !listed.isEmpty() && listed.get(0).isString()) {
      name = listed.get(0).asString();
    } else if (keys.present("model_type") && keys.get("model_type").isString()) {
      name = keys.get("model_type").asString();
    } else {
      throw keys.invalid("neither architectures nor model_type says what the model is");
    }
    return Architecture.of(name)
        .orElseThrow(() ->
            keys.invalid(
                "architecture \"%s\" is not known; this version runs %s",
                name, String.join(", ", Architecture.classNames())));
  }

  /** Only Llama and Phi-3 define what is meant where the key is absent; GPT-2 has no such key. */
  private int kvHeads(int heads) {
    boolean required =
        switch (architecture) {
          case LLAMA, PHI3, GPT2 -> false;
          default -> true;
        };
    String key = "num_key_value_heads";
    int kvHeads = required ? keys.size(key) : keys.size(key, heads);
    if (heads % kvHeads != 0 || (architecture == Architecture.GPT2 && kvHeads != heads)) {
      throw keys.invalid(
          "%s is %d and num_key_value_heads %d: the first must be a multiple of the second%s",
          key("num_attention_heads"),
          heads,
          kvHeads,
          architecture == Architecture.GPT2 ? ", for GPT-2 its equal" : "");
    }
    return kvHeads;
  }

  private int headDim(int hidden, int heads) {
    if (architecture.has(HEAD_DIM_REQUIRED) && !keys.present("head_dim")) {
      throw keys.invalid("head_dim is missing; %s needs it", architecture.className);
    }
    if (!keys.present("head_dim") && hidden % heads != 0) {
      throw keys.invalid(
          "%s is %d and %s %d: without head_dim the first must be a multiple of the second",
          key("hidden_size"), hidden, key("num_attention_heads"), heads);
    }
    int headDim = keys.size("head_dim", hidden / heads);
    if (headDim % 2 != 0 && !architecture.has(GPT2_STYLE)) {
      throw keys.invalid(
          "head_dim is %d: rotary embedding pairs elements, so it must be even", headDim);
    }
    return headDim;
  }

  private Biases biases() {
    boolean all = architecture.has(GPT2_STYLE);
    boolean attention = architecture.has(ATTENTION_BIAS) && keys.flag("attention_bias", false);
    return new Biases(
        all || attention || architecture.has(QUERY_KEY_VALUE_BIAS),
        all || attention,
        all || (architecture.has(FEED_FORWARD_BIAS) && keys.flag("mlp_bias", false)));
  }

  private Activation activation() {
    String key = key("hidden_act");
    String usual =
        switch (architecture) {
          case GPT2 -> "gelu_new";
          case GEMMA2 -> "gelu_pytorch_tanh";
          default -> "silu";
        };
    String name = keys.present(key) ? keys.get(key).asString("") : usual;
    Activation activation = ACTIVATIONS.get(name);
    if (activation == null) {
      throw keys.invalid(
          "%s \"%s\" is not known; known are %s",
          key, name, String.join(", ", ACTIVATIONS.keySet().stream().sorted().toList()));
    }
    return activation;
  }

  private Optional<Rope> rope(int headDim, int contextLength) {
    return architecture.has(GPT2_STYLE)
        ? Optional.empty()
        : Optional.of(new RopeReader(keys, architecture, headDim, contextLength).read());
  }
}
