package dev.lathe.model;

import java.util.Locale;

/**
 * One small random model for each architecture and each of its variants, every size odd somehow.
 */
public enum RandomModels {
  LLAMA_BIASED,
  LLAMA_3_ROPE,
  LLAMA_LINEAR_ROPE,
  LLAMA_YARN,
  QWEN2_YARN_FRACTIONS,
  MISTRAL,
  QWEN2,
  QWEN2_TIED_WINDOW,
  QWEN3,
  PHI3,
  PHI3_LONGROPE,
  PHI3_LONGROPE_SHORT,
  GEMMA2,
  GPT2,
  GPT2_UNTIED,

  /** With columns that blocks of 32 fit into. */
  GPT2_WIDE;

  public static final int VOCABULARY = 211;
  private static final int HIDDEN = 22;
  private static final int INTERMEDIATE = 37;
  private static final int LAYERS = 3;
  private static final int HEADS = 6;
  private static final int KV_HEADS = 2;
  private static final int HEAD_DIM = 10;

  public RandomModel make() {
    return name().startsWith("GPT2") ? gpt2() : llamaLike();
  }

  private String settings() {
    return switch (this) {
      case LLAMA_BIASED ->
          """
          "architectures": ["LlamaForCausalLM"], "attention_bias": true, "mlp_bias": true,
          "rope_scaling": {"rope_type": "default"}
          """;
      case LLAMA_3_ROPE ->
          """
          "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": true, "rope_theta": 100.0,
          "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 40}
          """;
      case LLAMA_LINEAR_ROPE ->
          """
          "model_type": "llama", "rope_theta": 500.0,
          "rope_scaling": {"type": "linear", "factor": 3.5}
          """;
      case LLAMA_YARN ->
          """
          "architectures": ["LlamaForCausalLM"], "rope_theta": 40.0,
          "rope_scaling": {"type": "yarn", "factor": 6.0, "original_max_position_embeddings": 70,
            "beta_fast": 8}
          """;
      case QWEN2_YARN_FRACTIONS ->
          """
          "architectures": ["Qwen2ForCausalLM"],
          "rope_parameters": {"rope_type": "yarn", "rope_theta": 90.0, "factor": 3.0,
            "beta_fast": 6, "beta_slow": 0.5, "truncate": false, "mscale": 0.7,
            "mscale_all_dim": 2.5}
          """;
      case MISTRAL ->
          """
          "architectures": ["MistralForCausalLM"], "sliding_window": 7
          """;
      case QWEN2 ->
          """
          "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": false,
          "sliding_window": 5, "max_window_layers": 1, "tie_word_embeddings": false
          """;
      case QWEN2_TIED_WINDOW ->
          """
          "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": true,
          "sliding_window": 18, "max_window_layers": 1, "tie_word_embeddings": true,
          "attention_bias": true
          """;
      case QWEN3 ->
          """
          "architectures": ["Qwen3ForCausalLM"], "attention_bias": false,
          "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}
          """;
      case PHI3 ->
          """
          "architectures": ["Phi3ForCausalLM"], "sliding_window": 33
          """;
      case PHI3_LONGROPE ->
          """
          "architectures": ["Phi3ForCausalLM"], "original_max_position_embeddings": 40,
          "rope_scaling": {"type": "su", "short_factor": [1, 1.1, 1.2, 1.3, 1.4],
            "long_factor": [1.5, 2, 3.5, 7, 9]}
          """;
      case PHI3_LONGROPE_SHORT ->
          """
          "architectures": ["Phi3ForCausalLM"],
          "rope_scaling": {"rope_type": "longrope", "short_factor": [1, 1.1, 1.2, 1.3, 1.4],
            "long_factor": [1.5, 2, 3.5, 7, 9], "original_max_position_embeddings": 61,
            "attention_factor": 1.3}
          """;
      case GEMMA2 ->
          """
          "architectures": ["Gemma2ForCausalLM"], "query_pre_attn_scalar": 13,
          "sliding_window": 9, "attn_logit_softcapping": 2.5, "final_logit_softcapping": 4.0,
          "hidden_activation": "gelu_pytorch_tanh", "hidden_act": "silu"
          """;
      default -> throw new IllegalStateException(name());
    };
  }

  private RandomModel llamaLike() {
    RandomModel model =
        new RandomModel(
            name().hashCode(),
            String.format(
                    Locale.ROOT,
                    """
                    {"hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
                     "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d,
                     "vocab_size": %d, "max_position_embeddings": 90, "rms_norm_eps": 1e-5,
                    """,
                    HIDDEN,
                    INTERMEDIATE,
                    LAYERS,
                    HEADS,
                    KV_HEADS,
                    HEAD_DIM,
                    VOCABULARY)
                + settings()
                + "}");
    double one = this == GEMMA2 ? 0 : 1;
    long queries = (long) HEADS * HEAD_DIM;
    long keys = (long) KV_HEADS * HEAD_DIM;
    model.add("model.embed_tokens.weight", 0, VOCABULARY, HIDDEN);
    for (int i = 0; i < LAYERS; i++) {
      String layer = "model.layers." + i + ".";
      model.add(layer + "input_layernorm.weight", one, HIDDEN);
      model.add(layer + "post_attention_layernorm.weight", one, HIDDEN);
      if (name().startsWith("PHI3")) {
        model.add(layer + "self_attn.qkv_proj.weight", 0, queries + 2 * keys, HIDDEN);
        model.add(layer + "mlp.gate_up_proj.weight", 0, 2L * INTERMEDIATE, HIDDEN);
      } else {
        model.add(layer + "self_attn.q_proj.weight", 0, queries, HIDDEN);
        model.add(layer + "self_attn.k_proj.weight", 0, keys, HIDDEN);
        model.add(layer + "self_attn.v_proj.weight", 0, keys, HIDDEN);
        model.add(layer + "mlp.gate_proj.weight", 0, INTERMEDIATE, HIDDEN);
        model.add(layer + "mlp.up_proj.weight", 0, INTERMEDIATE, HIDDEN);
      }
      model.add(layer + "self_attn.o_proj.weight", 0, HIDDEN, queries);
      model.add(layer + "mlp.down_proj.weight", 0, HIDDEN, INTERMEDIATE);
      if (name().startsWith("QWEN2") || this == LLAMA_BIASED) {
        model.add(layer + "self_attn.q_proj.bias", 0.2, queries);
        model.add(layer + "self_attn.k_proj.bias", 0.2, keys);
        model.add(layer + "self_attn.v_proj.bias", 0.2, keys);
      }
      if (this == LLAMA_BIASED) {
        model.add(layer + "self_attn.o_proj.bias", 0, HIDDEN);
        model.add(layer + "mlp.gate_proj.bias", 0, INTERMEDIATE);
        model.add(layer + "mlp.up_proj.bias", 0, INTERMEDIATE);
        model.add(layer + "mlp.down_proj.bias", 0, HIDDEN);
      }
      if (this == QWEN3) {
        model.add(layer + "self_attn.q_norm.weight", 1, HEAD_DIM);
        model.add(layer + "self_attn.k_norm.weight", 1, HEAD_DIM);
      }
      if (this == GEMMA2) {
        model.add(layer + "pre_feedforward_layernorm.weight", 0, HIDDEN);
        model.add(layer + "post_feedforward_layernorm.weight", 0, HIDDEN);
      }
    }
    model.add("model.norm.weight", one, HIDDEN);
    boolean tied = this == GEMMA2 || this == LLAMA_3_ROPE || this == QWEN2_TIED_WINDOW;
    return tied ? model : model.add("lm_head.weight", 0, VOCABULARY, HIDDEN);
  }

  /** Heads of 7, an odd size, which nothing rotates; the wide one has 4 of 16. */
  private RandomModel gpt2() {
    int hidden = this == GPT2_WIDE ? 64 : 21;
    String untied = this == GPT2_UNTIED ? ", \"tie_word_embeddings\": false, \"n_inner\": 50" : "";
    RandomModel model =
        new RandomModel(
            name().hashCode(),
            """
            {"architectures": ["GPT2LMHeadModel"], "n_embd": %d, "n_layer": 3, "n_head": %d,
             "n_positions": 90, "vocab_size": 211, "activation_function": "gelu_new"%s}
            """
                .formatted(hidden, this == GPT2_WIDE ? 4 : 3, untied));
    int inner = this == GPT2_UNTIED ? 50 : 4 * hidden;
    String prefix = this == GPT2_UNTIED ? "transformer." : "";
    model.add("wte.weight", 0, VOCABULARY, hidden);
    model.add("wpe.weight", 0, 90, hidden);
    for (int i = 0; i < 3; i++) {
      String layer = prefix + "h." + i + ".";
      for (String norm : new String[] {"ln_1", "ln_2"}) {
        model.add(layer + norm + ".weight", 1, hidden).add(layer + norm + ".bias", 0.2, hidden);
      }
      model.add(layer + "attn.c_attn.weight", 0, hidden, 3L * hidden);
      model.add(layer + "attn.c_attn.bias", 0.1, 3L * hidden);
      model.add(layer + "attn.c_proj.weight", 0, hidden, hidden);
      model.add(layer + "attn.c_proj.bias", 0, hidden);
      model.add(layer + "mlp.c_fc.weight", 0, hidden, inner);
      model.add(layer + "mlp.c_fc.bias", 0, inner);
      model.add(layer + "mlp.c_proj.weight", 0, inner, hidden);
      model.add(layer + "mlp.c_proj.bias", 0, hidden);
      // The causal mask that old files carry: no weight, and not to be stumbled over.
      model.add(layer + "attn.bias", 1, 1, 1, 4, 4);
    }
    model.add(prefix + "ln_f.weight", 1, hidden).add(prefix + "ln_f.bias", 0.2, hidden);
    if (this == GPT2_UNTIED) {
      model.rename("wte.weight", "transformer.wte.weight");
      model.rename("wpe.weight", "transformer.wpe.weight");
      model.add("lm_head.weight", 0, VOCABULARY, hidden);
    }
    return model;
  }
}
