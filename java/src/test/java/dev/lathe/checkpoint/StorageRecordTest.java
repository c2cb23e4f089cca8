package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ObjectNode;

class StorageRecordTest {
  private static final ObjectNode CONFIG =
      (ObjectNode)
          StrictJson.mapper()
              .readTree(
                  """
                  {"model_type": "llama",
                   "quantization_config": {"quant_method": "gptq"}, "lathe": {"format_version": 1}}
                  """);

  private static final List<TensorInfo> EMBEDDING =
      WeightFormat.dense("model.embed_tokens", 16, 8, DType.BF16);

  private static ObjectNode record(List<List<TensorInfo>> modules) {
    List<TensorInfo> infos = new ArrayList<>();
    modules.forEach(infos::addAll);
    infos.add(TensorInfo.of("model.norm.weight", DType.F32, 8));
    return StorageRecord.into(CONFIG, infos);
  }

  @Test
  void plainWeightsNeedNoRecordAndAnOldOneGoes() {
    assertThat(record(List.of(EMBEDDING)).propertyNames()).containsExactly("model_type");
    assertThat(CONFIG.has("lathe")).isTrue();
  }

  @Test
  void int8LinearLayersAreCompressedTensors() {
    ObjectNode config =
        record(
            List.of(
                EMBEDDING,
                WeightFormat.int8("model.layers.0.mlp.up_proj", 4, 8, 1, true, DType.BF16),
                WeightFormat.dense("model.layers.0.mlp.down_proj", 8, 4, DType.BF16)));
    ObjectNode expected =
        (ObjectNode)
            StrictJson.mapper()
                .readTree(
                    """
                    {"quant_method": "compressed-tensors", "format": "int-quantized",
                     "quantization_status": "compressed",
                     "config_groups": {"group_0": {"targets": ["Linear"],
                       "weights": {"num_bits": 8, "type": "int", "symmetric": false,
                                   "strategy": "channel", "dynamic": false},
                       "input_activations": null, "output_activations": null}},
                     "ignore": ["lm_head", "model.layers.0.mlp.down_proj"]}
                    """);
    assertThat(config.get("quantization_config")).isEqualTo(expected);
    assertThat(config.get("lathe").get("weights"))
        .isEqualTo(StrictJson.mapper().readTree("{\"bf16\": 2, \"int8\": 1}"));
  }

  @Test
  void groupsSayTheirSize() {
    ObjectNode config =
        record(
            List.of(EMBEDDING, WeightFormat.int8("model.layers.0.q", 4, 8, 2, false, DType.F32)));
    ObjectNode weights =
        (ObjectNode) config.at("/quantization_config/config_groups/group_0/weights");
    assertThat(weights.get("strategy").stringValue()).isEqualTo("group");
    assertThat(weights.get("group_size").intValue()).isEqualTo(4);
    assertThat(weights.get("symmetric").booleanValue()).isTrue();
  }

  @Test
  void whatOnlyLatheReadsSaysSo() {
    List<TensorInfo> int8 = WeightFormat.int8("model.layers.0.q", 4, 8, 1, false, DType.F32);
    assertThat(
            method(
                record(
                    List.of(WeightFormat.int8("model.embed_tokens", 4, 8, 1, false, DType.F32)))))
        .isEqualTo("lathe");
    assertThat(method(record(List.of(WeightFormat.int8("lm_head", 4, 8, 1, false, DType.F32)))))
        .isEqualTo("lathe");
    assertThat(method(record(List.of(int8, WeightFormat.int8("b", 4, 8, 1, true, DType.F32)))))
        .isEqualTo("lathe");
    assertThat(method(record(List.of(WeightFormat.int8("uneven", 4, 7, 3, false, DType.F32)))))
        .isEqualTo("lathe");
    ObjectNode bitmap =
        record(
            List.of(
                int8,
                WeightFormat.bitmap("b", 4, 8, 9, DType.I8, Optional.of(DType.BF16), false),
                WeightFormat.bitmap("c", 4, 8, 9, DType.F32, Optional.empty(), false)));
    assertThat(method(bitmap)).isEqualTo("lathe");
    assertThat(bitmap.get("lathe").get("weights"))
        .isEqualTo(
            StrictJson.mapper().readTree("{\"bitmap(f32)\": 1, \"bitmap(int8)\": 1, \"int8\": 1}"));
  }

  private static String method(ObjectNode config) {
    return config.get("quantization_config").get("quant_method").stringValue();
  }
}
