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
        "rope_scaling | {\"rope_type\": \"yarn\", \"factor\": 4} | RoPE scaling \"yarn\"",
        "rope_scaling | {\"rope_type\": \"longrope\"} | rope_scaling asks for RoPE scaling",
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
        "Phi3ForCausalLM | rope_scaling | {\"type\": \"su\"} | RoPE scaling \"su\"",
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
