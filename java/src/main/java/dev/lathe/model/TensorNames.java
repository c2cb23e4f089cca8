package dev.lathe.model;

import java.util.List;

/**
 * What a checkpoint calls its modules. {@code layers} is followed by the layer's number, a dot and
 * one of the names inside a layer; names that an architecture has not are empty.
 *
 * @param queryKeyValue one module for each, or one that holds all three in this order
 * @param gateUp gate and up, or one module that holds both in this order; up alone without a gate
 */
record TensorNames(
    String embedding,
    String positions,
    String layers,
    String attentionNorm,
    List<String> queryKeyValue,
    String queryNorm,
    String keyNorm,
    String attentionOutput,
    String postAttentionNorm,
    String feedForwardNorm,
    List<String> gateUp,
    String down,
    String postFeedForwardNorm,
    String finalNorm,
    String head) {

  static final TensorNames LLAMA =
      new TensorNames(
          "model.embed_tokens",
          "",
          "model.layers.",
          "input_layernorm",
          List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
          "self_attn.q_norm",
          "self_attn.k_norm",
          "self_attn.o_proj",
          "",
          "post_attention_layernorm",
          List.of("mlp.gate_proj", "mlp.up_proj"),
          "mlp.down_proj",
          "",
          "model.norm",
          "lm_head");

  static final TensorNames PHI3 =
      new TensorNames(
          "model.embed_tokens",
          "",
          "model.layers.",
          "input_layernorm",
          List.of("self_attn.qkv_proj"),
          "",
          "",
          "self_attn.o_proj",
          "",
          "post_attention_layernorm",
          List.of("mlp.gate_up_proj"),
          "mlp.down_proj",
          "",
          "model.norm",
          "lm_head");

  static final TensorNames GEMMA2 =
      new TensorNames(
          "model.embed_tokens",
          "",
          "model.layers.",
          "input_layernorm",
          List.of("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
          "",
          "",
          "self_attn.o_proj",
          "post_attention_layernorm",
          "pre_feedforward_layernorm",
          List.of("mlp.gate_proj", "mlp.up_proj"),
          "mlp.down_proj",
          "post_feedforward_layernorm",
          "model.norm",
          "lm_head");

  /** As the published checkpoints name them; those of fine-tuned models start "transformer.". */
  static final TensorNames GPT2 =
      new TensorNames(
          "wte",
          "wpe",
          "h.",
          "ln_1",
          List.of("attn.c_attn"),
          "",
          "",
          "attn.c_proj",
          "",
          "ln_2",
          List.of("mlp.c_fc"),
          "mlp.c_proj",
          "",
          "ln_f",
          "lm_head");

  /** The same below a module, the head apart. */
  TensorNames below(String module) {
    return new TensorNames(
        module + embedding,
        positions.isEmpty() ? "" : module + positions,
        module + layers,
        attentionNorm,
        queryKeyValue,
        queryNorm,
        keyNorm,
        attentionOutput,
        postAttentionNorm,
        feedForwardNorm,
        gateUp,
        down,
        postFeedForwardNorm,
        module + finalNorm,
        head);
  }
}
