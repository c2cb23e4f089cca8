package dev.lathe.model;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/**
 * Keys of a {@code config.json} that do not change what a model computes when it is run: names and
 * versions, training, settings of generation, and hints for other engines.
 */
final class HarmlessKeys {
  private static final Set<String> KEYS =
      new HashSet<>(
          Arrays.asList(
              """
              _name_or_path _commit_hash _attn_implementation _attn_implementation_autoset
              attn_implementation name_or_path model_type architectures auto_map
              transformers_version transformers.js_config torch_dtype dtype use_bfloat16
              quantization_config compression_config lathe unsloth_version unsloth_fixed
              finetuning_task task_specific_params tokenizer_class prefix
              pad_token_id sep_token_id cls_token_id unk_token_id decoder_start_token_id
              image_token_id bos_token_id eos_token_id
              initializer_range initializer_factor attention_dropout hidden_dropout dropout
              attn_pdrop embd_pdrop resid_pdrop gradient_checkpointing label_smoothing
              use_cache use_return_dict return_dict return_dict_in_generate output_attentions
              output_hidden_states output_scores output_router_logits router_aux_loss_coef
              torchscript tf_legacy_loss pretraining_tp chunk_size_feed_forward pruned_heads
              problem_type id2label label2id num_labels is_decoder is_llama_config
              summary_activation summary_first_dropout summary_proj_to_labels summary_type
              summary_use_proj reorder_and_upcast_attn n_ctx cache_implementation
              max_length max_new_tokens min_length do_sample temperature top_k top_p typical_p
              num_beams num_beam_groups num_return_sequences repetition_penalty length_penalty
              diversity_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size early_stopping
              bad_words_ids exponential_decay_length_penalty begin_suppress_tokens
              suppress_tokens remove_invalid_values forced_bos_token_id forced_eos_token_id
              hidden_act original_max_position_embeddings
              sliding_window use_sliding_window max_window_layers layer_types
              tie_encoder_decoder cross_attention_hidden_size
              rope_scaling.type rope_scaling.rope_type rope_scaling.rope_theta
              rope_scaling.original_max_position_embeddings
              rope_parameters.type rope_parameters.original_max_position_embeddings
              """
                  .strip()
                  .split("\\s+")));

  private HarmlessKeys() {}

  /** Those of the keys that are not harmless and whose value is not nothing. */
  static List<String> without(List<String> keys, ConfigKeys config) {
    return keys.stream()
        .filter(key -> !KEYS.contains(key))
        .filter(key -> {
          JsonNode value = config.get(key);
          return value == null
              || (!value.isNull() && !UnsupportedKeys.NOTHING.contains(value.toString()));
        })
        .sorted()
        .toList();
  }
}
