package dev.lathe.model;

import static dev.lathe.model.Architecture.Trait.ATTENTION_BIAS;
import static dev.lathe.model.Architecture.Trait.CAPPED;
import static dev.lathe.model.Architecture.Trait.FEED_FORWARD_BIAS;
import static dev.lathe.model.Architecture.Trait.GPT2_STYLE;
import static dev.lathe.model.Architecture.Trait.HEAD_DIM_REQUIRED;
import static dev.lathe.model.Architecture.Trait.HEAD_NORMS;
import static dev.lathe.model.Architecture.Trait.NORM_PLUS_ONE;
import static dev.lathe.model.Architecture.Trait.QUERY_KEY_VALUE_BIAS;
import static dev.lathe.model.Architecture.Trait.TIED;
import static dev.lathe.model.Architecture.Trait.WINDOW_EVEN_LAYERS;
import static dev.lathe.model.Architecture.Trait.WINDOW_EVERYWHERE;
import static dev.lathe.model.Architecture.Trait.WINDOW_LATE_LAYERS;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The decoders that are run, as a table: what each is called, how its checkpoint names its tensors
 * and its configuration its keys, and in what it differs from Llama. There is one forward pass for
 * all of them, {@link Decoder#forward}.
 */
@SuppressWarnings("ImmutableEnumChecker") // maps, sets and lists here are unmodifiable
enum Architecture {
  LLAMA(
      "LlamaForCausalLM", "llama", TensorNames.LLAMA, Map.of(), ATTENTION_BIAS, FEED_FORWARD_BIAS),
  MISTRAL("MistralForCausalLM", "mistral", TensorNames.LLAMA, Map.of(), WINDOW_EVERYWHERE),
  QWEN2(
      "Qwen2ForCausalLM",
      "qwen2",
      TensorNames.LLAMA,
      Map.of(),
      QUERY_KEY_VALUE_BIAS,
      WINDOW_LATE_LAYERS),
  QWEN3(
      "Qwen3ForCausalLM",
      "qwen3",
      TensorNames.LLAMA,
      Map.of(),
      ATTENTION_BIAS,
      HEAD_NORMS,
      HEAD_DIM_REQUIRED,
      WINDOW_LATE_LAYERS),
  PHI3("Phi3ForCausalLM", "phi3", TensorNames.PHI3, Map.of(), WINDOW_EVERYWHERE),
  GEMMA2(
      "Gemma2ForCausalLM",
      "gemma2",
      TensorNames.GEMMA2,
      Map.of("hidden_act", "hidden_activation"),
      ATTENTION_BIAS,
      TIED,
      CAPPED,
      NORM_PLUS_ONE,
      HEAD_DIM_REQUIRED,
      WINDOW_EVEN_LAYERS),
  GPT2(
      "GPT2LMHeadModel",
      "gpt2",
      TensorNames.GPT2,
      Map.of(
          "hidden_size", "n_embd",
          "intermediate_size", "n_inner",
          "num_hidden_layers", "n_layer",
          "num_attention_heads", "n_head",
          "max_position_embeddings", "n_positions",
          "rms_norm_eps", "layer_norm_epsilon",
          "hidden_act", "activation_function"),
      TIED,
      GPT2_STYLE);

  /** In what an architecture differs from Llama without biases. */
  enum Trait {
    /** The output head is the embedding table unless {@code tie_word_embeddings} says otherwise. */
    TIED,
    /** {@code attention_bias} says whether the four attention matrices have biases. */
    ATTENTION_BIAS,
    /** {@code mlp_bias} says whether the three feed-forward matrices have biases. */
    FEED_FORWARD_BIAS,
    /** Query, key and value have biases, always. */
    QUERY_KEY_VALUE_BIAS,
    /** RMSNorm over each head of queries and keys. */
    HEAD_NORMS,
    /** {@code head_dim} has a default of its own, not hidden_size / heads: it must be written. */
    HEAD_DIM_REQUIRED,
    /** RMSNorm multiplies by 1 + weight. */
    NORM_PLUS_ONE,
    /** Scaled embeddings, {@code query_pre_attn_scalar}, capped scores and logits. */
    CAPPED,
    /** {@code sliding_window} holds for every layer. */
    WINDOW_EVERYWHERE,
    /** {@code sliding_window} holds for layers 0, 2, 4, … */
    WINDOW_EVEN_LAYERS,
    /** With {@code use_sliding_window}, for layers from {@code max_window_layers} on. */
    WINDOW_LATE_LAYERS,
    /**
     * LayerNorm with biases, learned positions instead of rotated ones, no gate, biases everywhere,
     * matrices stored [inputs, outputs].
     */
    GPT2_STYLE
  }

  /** As {@code architectures} names it. */
  final String className;

  final String modelType;
  final TensorNames tensors;

  /** What this architecture's configuration calls a key that Llama's calls otherwise. */
  private final Map<String, String> keys;

  private final Set<Trait> traits;

  Architecture(
      String className,
      String modelType,
      TensorNames tensors,
      Map<String, String> keys,
      Trait... traits) {
    this.className = className;
    this.modelType = modelType;
    this.tensors = tensors;
    this.keys = keys;
    this.traits = Set.of(traits);
  }

  boolean has(Trait trait) {
    return traits.contains(trait);
  }

  String key(String llamas) {
    return keys.getOrDefault(llamas, llamas);
  }

  /** By class name or model type. */
  static Optional<Architecture> of(String name) {
    return Arrays.stream(values())
        .filter(a -> a.className.equals(name) || a.modelType.equals(name))
        .findFirst();
  }

  static List<String> classNames() {
    return Arrays.stream(values()).map(a -> a.className).toList();
  }
}
