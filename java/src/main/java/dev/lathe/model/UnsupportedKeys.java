package dev.lathe.model;

import dev.lathe.model.Architecture.Trait;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/**
 * Keys of a {@code config.json} that change what a model computes and that are not run, with the
 * only value under which ignoring them is right. Keys that change nothing are {@link HarmlessKeys};
 * of others that were not read a warning tells.
 */
final class UnsupportedKeys {
  /** Under these values a key asks for nothing. */
  static final Set<String> NOTHING = Set.of("false", "0", "0.0", "[]", "{}", "\"\"");

  /** What a key asks for, where its values other than nothing (and {@code neutral}) are not run. */
  private record Meaning(String text, String neutral) {}

  private static final Map<String, Meaning> MEANINGS = new LinkedHashMap<>();

  private static void refuse(String meaning, String neutral, String... keys) {
    for (String key : keys) {
      MEANINGS.put(key, new Meaning(meaning, neutral));
    }
  }

  static {
    refuse("rotating a part of each head", "1", "partial_rotary_factor", "rotary_pct");
    refuse("rotating a part of each head", "", "rotary_dim");
    refuse("scaled embeddings", "1", "embedding_multiplier", "scale_emb");
    refuse("scaled attention", "1", "attention_multiplier");
    refuse("scaled residuals", "1", "residual_multiplier", "scale_depth");
    refuse("scaled logits", "1", "logit_scale", "logits_scaling", "dim_model_base");
    refuse("clipped queries, keys and values", "", "clip_qkv");
    refuse("norms over queries and keys", "", "use_qk_norm", "qk_norm", "qk_layernorm");
    refuse("ALiBi", "", "alibi", "use_alibi");
    refuse("parallel attention", "", "parallel_attn", "use_parallel_residual");
    refuse("experts", "1", "num_experts", "num_local_experts", "n_routed_experts", "moe");
    refuse("cross-attention", "", "add_cross_attention", "is_encoder_decoder");
    refuse("layers without rotation", "", "no_rope_layers", "no_rope_layer_interval");
    refuse("attention in chunks", "", "attention_chunk_size");
    refuse("attention in both directions", "", "use_bidirectional_attention");
    refuse("interleaved rotation", "", "rope_interleaved", "rope_interleave");
    refuse("another base for some layers", "", "rope_local_base_freq");
    refuse("latent attention", "", "q_lora_rank", "kv_lora_rank");
    refuse("another width of layers", "", "word_embed_proj_dim", "block_configs");
  }

  private UnsupportedKeys() {}

  /**
   * @throws dev.lathe.error.InvalidInputException for the first key that asks for what is not run
   */
  static void refuse(ConfigKeys keys, Architecture architecture) {
    MEANINGS.forEach((key, meaning) -> refuse(keys, key, meaning));
    // Qwen2 has its biases whatever the key says; files of other formats say it has.
    if (!architecture.has(Trait.ATTENTION_BIAS) && !architecture.has(Trait.QUERY_KEY_VALUE_BIAS)) {
      refuse(keys, "attention_bias", new Meaning("biases that %s has not", ""), architecture);
    }
    if (!architecture.has(Trait.FEED_FORWARD_BIAS)) {
      refuse(keys, "mlp_bias", new Meaning("biases that %s has not", ""), architecture);
    }
    if (!architecture.has(Trait.CAPPED)) {
      Meaning capped = new Meaning("capped scores, which %s has not", "");
      refuse(keys, "attn_logit_softcapping", capped, architecture);
      refuse(keys, "final_logit_softcapping", capped, architecture);
      Meaning scaled = new Meaning("another scale of scores, which %s has not", "");
      refuse(keys, "query_pre_attn_scalar", scaled, architecture);
    }
    if (architecture.has(Trait.GPT2_STYLE)) {
      for (String key : new String[] {"rope_scaling", "rope_parameters"}) {
        refuse(keys, key, new Meaning("rotation, which %s has not", ""), architecture);
      }
    }
  }

  private static void refuse(
      ConfigKeys keys, String key, Meaning meaning, Architecture architecture) {
    String text = meaning.text.formatted(architecture.className);
    refuse(keys, key, new Meaning(text, meaning.neutral));
  }

  private static void refuse(ConfigKeys keys, String key, Meaning meaning) {
    if (!keys.present(key)) {
      return;
    }
    JsonNode value = keys.get(key);
    boolean neutral =
        NOTHING.contains(value.toString())
            || (value.isNumber()
                && !meaning.neutral.isEmpty()
                && value.doubleValue() == Double.parseDouble(meaning.neutral));
    if (!neutral) {
      throw keys.invalid("%s is %s: %s, which this version does not run", key, value, meaning.text);
    }
  }
}
