package dev.lathe.checkpoint;

import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/** The tensors of a published model, by its configuration, as its files have them. */
final class SyntheticTensors {
  enum Kind {
    /** Two dimensions; may be quantized. */
    MATRIX,

    /** Learned positions: two dimensions, never quantized. */
    POSITIONS,
    BIAS,
    NORM
  }

  /**
   * @param center what a norm has everywhere
   */
  record Planned(String name, Kind kind, float center, long... shape) {}

  private final ObjectNode config;
  private final List<Planned> all = new ArrayList<>();

  private SyntheticTensors(ObjectNode config) {
    this.config = config;
  }

  static List<Planned> of(ObjectNode config) {
    SyntheticTensors tensors = new SyntheticTensors(config);
    if (tensors.isGpt2()) {
      tensors.gpt2();
    } else {
      tensors.llamaLike();
    }
    return tensors.all;
  }

  /** Columns of the residual stream. */
  static long hidden(ObjectNode config) {
    return config.path("hidden_size").asLong(config.path("n_embd").asLong(0));
  }

  private boolean isGpt2() {
    return is("gpt2");
  }

  private boolean is(String modelType) {
    return config.get("model_type").stringValue().equals(modelType);
  }

  private long size(String key) {
    return config.get(key).longValue();
  }

  private void matrix(String module, long rows, long cols) {
    all.add(new Planned(module + ".weight", Kind.MATRIX, 0, rows, cols));
  }

  private void bias(String module, long rows) {
    all.add(new Planned(module + ".bias", Kind.BIAS, 0, rows));
  }

  /** Gemma's norms multiply by one more than what is stored. */
  private void norm(String module, long size) {
    all.add(new Planned(module + ".weight", Kind.NORM, is("gemma2") ? 0 : 1, size));
  }

  private void llamaLike() {
    long hidden = size("hidden_size");
    long vocabulary = size("vocab_size");
    matrix("model.embed_tokens", vocabulary, hidden);
    for (int i = 0; i < size("num_hidden_layers"); i++) {
      String layer = "model.layers." + i + ".";
      norm(layer + "input_layernorm", hidden);
      attention(layer + "self_attn.", hidden);
      norm(layer + "post_attention_layernorm", hidden);
      if (is("gemma2")) {
        norm(layer + "pre_feedforward_layernorm", hidden);
        norm(layer + "post_feedforward_layernorm", hidden);
      }
      feedForward(layer + "mlp.", hidden);
    }
    norm("model.norm", hidden);
    if (!config.get("tie_word_embeddings").booleanValue()) {
      matrix("lm_head", vocabulary, hidden);
    }
  }

  private void attention(String attention, long hidden) {
    long headDim = size("head_dim");
    long queries = size("num_attention_heads") * headDim;
    long keys = size("num_key_value_heads") * headDim;
    if (is("phi3")) {
      matrix(attention + "qkv_proj", queries + 2 * keys, hidden);
    } else {
      matrix(attention + "q_proj", queries, hidden);
      matrix(attention + "k_proj", keys, hidden);
      matrix(attention + "v_proj", keys, hidden);
    }
    if (is("qwen2")) {
      bias(attention + "q_proj", queries);
      bias(attention + "k_proj", keys);
      bias(attention + "v_proj", keys);
    }
    if (is("qwen3")) {
      norm(attention + "q_norm", headDim);
      norm(attention + "k_norm", headDim);
    }
    matrix(attention + "o_proj", hidden, queries);
  }

  private void feedForward(String mlp, long hidden) {
    long intermediate = size("intermediate_size");
    if (is("phi3")) {
      matrix(mlp + "gate_up_proj", 2 * intermediate, hidden);
    } else {
      matrix(mlp + "gate_proj", intermediate, hidden);
      matrix(mlp + "up_proj", intermediate, hidden);
    }
    matrix(mlp + "down_proj", hidden, intermediate);
  }

  /** Matrices are [inputs, outputs]. */
  private void gpt2() {
    long hidden = size("n_embd");
    matrix("wte", size("vocab_size"), hidden);
    all.add(new Planned("wpe.weight", Kind.POSITIONS, 0, size("n_positions"), hidden));
    for (int i = 0; i < size("n_layer"); i++) {
      String layer = "h." + i + ".";
      layerNorm(layer + "ln_1", hidden);
      biased(layer + "attn.c_attn", hidden, 3 * hidden);
      biased(layer + "attn.c_proj", hidden, hidden);
      layerNorm(layer + "ln_2", hidden);
      biased(layer + "mlp.c_fc", hidden, 4 * hidden);
      biased(layer + "mlp.c_proj", 4 * hidden, hidden);
    }
    layerNorm("ln_f", hidden);
  }

  private void layerNorm(String module, long size) {
    norm(module, size);
    bias(module, size);
  }

  private void biased(String module, long inputs, long outputs) {
    matrix(module, inputs, outputs);
    bias(module, outputs);
  }
}
