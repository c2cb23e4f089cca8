package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Activation;
import dev.lathe.error.InvalidInputException;
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
    assertThat(config.attention().queryKeyValueColumns()).isEqualTo(128);
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
        "rope_scaling | {\"type\": \"linear\"} | rope_scaling asks for RoPE scaling",
        "attention_bias | true | attention_bias is true",
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
