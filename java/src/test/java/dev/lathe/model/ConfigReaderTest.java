package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.error.InvalidInputException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

class ConfigReaderTest {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  @Test
  void readsALlama() {
    ModelConfig config = ModelConfig.parse(valid(), "config.json");
    assertThat(config.headDim()).isEqualTo(8);
    assertThat(config.kvHeads()).isEqualTo(4);
    assertThat(config.activation()).isEqualTo(Activation.SILU);
    assertThat(config.beginOfSequence()).hasValue(1);
    assertThat(config.endOfSequence()).containsExactlyInAnyOrder(2, 3);
    assertThat(config.queryKeyValueColumns()).isEqualTo(128);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "hidden_size | null | hidden_size is missing",
        "hidden_size | -64 | hidden_size is -64",
        "hidden_size | 99999999999 | hidden_size is 99999999999",
        "hidden_size | 64.5 | hidden_size is 64.5",
        "hidden_size | \"64\" | must be an integer",
        "num_key_value_heads | 3 | the first must be a multiple of the second",
        "num_attention_heads | 7 | num_attention_heads",
        "architectures | [\"MambaForCausalLM\"] | architecture \"MambaForCausalLM\" is not known",
        "architectures | [] | neither architectures nor model_type",
        "head_dim | 7 | must be even",
        "rms_norm_eps | 0 | rms_norm_eps is 0",
        "hidden_act | \"relu\" | hidden_act \"relu\" is not known",
        "rope_scaling | {\"type\": \"linear\"} | rope_scaling: factor is missing",
        "rope_scaling | {\"rope_type\": \"yarn\"} | rope_scaling: factor is missing",
        "rope_scaling | {\"rope_type\": \"yarn\", \"factor\": 4, \"beta_slow\": 32}"
            + " | beta_fast is 32.0, beta_slow 32.0",
        "rope_scaling | {\"rope_type\": \"longrope\"} | short_factor is null; it must be a list of 4",
        "rope_scaling | {\"rope_type\": \"longrope\", \"short_factor\": [1, 1, 1, 1],"
            + " \"long_factor\": [1, 1, 1]} | long_factor is [1,1,1]; it must be a list of 4",
        "rope_scaling | {\"rope_type\": \"dynamic\", \"factor\": 4} | RoPE scaling \"dynamic\"",
        "rope_scaling | {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4,"
            + " \"high_freq_factor\": 4} | the first must be larger",
        "rope_scaling | 8 | it must be an object",
        "sliding_window | 128 | sliding_window asks for sliding-window attention",
        "layer_types | [\"full_attention\"] | layer_types is",
        "partial_rotary_factor | 0.5 | partial_rotary_factor is 0.5",
        "logits_scaling | 8.0 | logits_scaling is 8.0",
        "attn_logit_softcapping | 50.0 | attn_logit_softcapping is 50.0",
        "attention_bias | \"yes\" | must be true or false",
        "num_local_experts | 8 | num_local_experts is 8: experts",
        "tie_word_embeddings | 1 | must be true or false",
        "eos_token_id | 512 | ids go from 0 to 511",
        "max_position_embeddings | 0 | max_position_embeddings is 0",
      })
  void namesTheKeyAndWhatWouldBeRight(String key, String value, String message) {
    ObjectNode config = valid();
    config.set(key, JSON.readTree(value));
    assertThatThrownBy(() -> ModelConfig.parse(config, "m/config.json"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageStartingWith("m/config.json: ")
        .hasMessageContaining(message);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "MistralForCausalLM | num_key_value_heads | null | num_key_value_heads is missing",
        "MistralForCausalLM | attention_bias | true | biases that MistralForCausalLM has not",
        "Qwen2ForCausalLM | mlp_bias | true | biases that Qwen2ForCausalLM has not",
        "Qwen3ForCausalLM | hidden_act | \"silu\" | head_dim is missing",
        "Gemma2ForCausalLM | head_dim | 8 | query_pre_attn_scalar is missing",
        "GPT2LMHeadModel | n_embd | null | n_embd is missing",
        "Phi3ForCausalLM | rope_scaling | {\"type\": \"su\"} | short_factor is null",
      })
  void eachArchitectureHasItsOwn(String architecture, String key, String value, String message) {
    ObjectNode config = valid();
    config.set("architectures", JSON.createArrayNode().add(architecture));
    config.set(key, JSON.readTree(value));
    assertThatThrownBy(() -> ModelConfig.parse(config, "m/config.json"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining(message);
  }

  @Test
  void windowsBelongToLayers() {
    ObjectNode config = valid();
    config.set("architectures", JSON.createArrayNode().add("Qwen2ForCausalLM"));
    config.put("sliding_window", 100).put("max_window_layers", 3);
    assertThat(windows(config)).containsOnly(AttentionShape.NO_WINDOW);
    config.put("use_sliding_window", true);
    int all = AttentionShape.NO_WINDOW;
    assertThat(windows(config)).containsExactly(all, all, all, 100, 100);
    config.set("architectures", JSON.createArrayNode().add("Gemma2ForCausalLM"));
    config.put("head_dim", 8).put("query_pre_attn_scalar", 64);
    assertThat(windows(config)).containsExactly(100, all, 100, all, 100);
    config.set("architectures", JSON.createArrayNode().add("MistralForCausalLM"));
    config.remove("query_pre_attn_scalar");
    assertThat(windows(config)).containsOnly(100);
  }

  /** Configurations as their authors published them say nothing that is not known. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        """
        {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64,
         "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
         "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
         "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
         "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
         "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
          "original_max_position_embeddings": 8192, "rope_type": "llama3"},
         "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
         "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256}
        """,
        """
        {"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
         "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
         "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
         "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
         "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16",
         "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": 32000}
        """,
        """
        {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
         "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 896,
         "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768,
         "max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14,
         "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
         "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
         "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": true,
         "use_mrope": false, "use_sliding_window": false, "vocab_size": 151936}
        """,
        """
        {"architectures": ["Phi3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "bos_token_id": 1,
         "embd_pdrop": 0.0, "eos_token_id": 32000, "hidden_act": "silu", "hidden_size": 3072,
         "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 4096,
         "model_type": "phi3", "num_attention_heads": 32, "num_hidden_layers": 32,
         "num_key_value_heads": 32, "original_max_position_embeddings": 4096,
         "pad_token_id": 32000, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_scaling": null,
         "rope_theta": 10000.0, "sliding_window": 2047, "tie_word_embeddings": false,
         "torch_dtype": "bfloat16", "transformers_version": "4.40.2", "use_cache": true,
         "vocab_size": 32064}
        """,
        """
        {"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid",
         "eos_token_id": 1, "final_logit_softcapping": 30.0, "head_dim": 256,
         "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
         "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
         "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
         "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0,
         "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
         "sliding_window": 4096, "torch_dtype": "float32", "transformers_version": "4.42.4",
         "use_cache": true, "vocab_size": 256000}
        """,
        """
        {"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
         "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256,
         "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2",
         "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
         "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
         "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
         "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}},
         "vocab_size": 50257}
        """
      })
  void publishedConfigurationsAreKnownWhole(String json) {
    ObjectNode config = (ObjectNode) JSON.readTree(json);
    assertThat(ModelConfig.unknownKeys(config, "m")).isEmpty();
    config.put("residual_twist", 0.5).put("another_twist", false).putArray("twists");
    assertThat(ModelConfig.unknownKeys(config, "m")).containsExactly("residual_twist");
  }

  @Test
  void keysOfTheRotationThatNobodyReadsAreNamed() {
    ObjectNode config = valid();
    config.putObject("rope_scaling").put("rope_type", "linear").put("factor", 2).put("mscale", 0.7);
    assertThat(ModelConfig.unknownKeys(config, "m")).containsExactly("rope_scaling.mscale");
  }

  private static List<Integer> windows(ObjectNode config) {
    return ModelConfig.parse(config, "m").attentionLayers().stream()
        .map(AttentionShape::window)
        .toList();
  }

  private static ObjectNode valid() {
    return (ObjectNode)
        JSON.readTree(
            """
            {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 172,
             "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4,
             "vocab_size": 512, "max_position_embeddings": 512, "bos_token_id": 1,
             "eos_token_id": [2, 3], "rope_scaling": null}
            """);
  }
}
