package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.MissingNode;
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
    return StorageRecord.into(CONFIG, infos, List.of(), false);
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

  private static final List<TensorInfo> UP =
      WeightFormat.int8("model.layers.0.mlp.up_proj", 4, 8, 1, false, DType.BF16);
  private static final List<TensorInfo> DOWN =
      WeightFormat.int8("model.layers.0.mlp.down_proj", 8, 4, 1, false, DType.BF16);

  private static ObjectNode into(
      ObjectNode config, List<String> int8Activations, List<List<TensorInfo>> modules) {
    return StorageRecord.into(
        config, modules.stream().flatMap(List::stream).toList(), int8Activations, false);
  }

  @Test
  void int8ActivationsOfAllLayersAreCompressedTensors() {
    List<String> both = List.of("model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj");
    ObjectNode config = into(CONFIG, both, List.of(EMBEDDING, UP, DOWN));
    assertThat(method(config)).isEqualTo("compressed-tensors");
    assertThat(config.at("/quantization_config/config_groups/group_0/input_activations"))
        .isEqualTo(
            StrictJson.mapper()
                .readTree(
                    """
                    {"num_bits": 8, "type": "int", "symmetric": true, "strategy": "token",
                     "dynamic": true}
                    """));
    Predicate<String> read = StorageRecord.int8Activations("config.json", config);
    assertThat(both).allMatch(read);
    assertThat(List.of("lm_head", "model.embed_tokens")).noneMatch(read);
    // What is still INT8 keeps it, what is not loses it; nobody has to say so.
    List<TensorInfo> plain = WeightFormat.dense("model.layers.0.mlp.down_proj", 8, 4, DType.BF16);
    ObjectNode again = into(config, List.of(), List.of(EMBEDDING, UP, plain));
    Predicate<String> left = StorageRecord.int8Activations("config.json", again);
    assertThat(left.test("model.layers.0.mlp.up_proj")).isTrue();
    assertThat(left.test("model.layers.0.mlp.down_proj")).isFalse();
    assertThat(into(config, List.of(), List.of(EMBEDDING, plain)).has("lathe")).isFalse();
  }

  @Test
  void int8ActivationsOfSomeLayersAreLathes() {
    List<TensorInfo> table = WeightFormat.int8("model.embed_tokens", 4, 8, 1, false, DType.F32);
    List<TensorInfo> asymmetric = WeightFormat.int8("b", 4, 8, 1, true, DType.F32);
    ObjectNode config =
        into(
            CONFIG,
            List.of("model.layers.0.mlp.up_proj", "b", "not there"),
            List.of(table, UP, DOWN, asymmetric));
    assertThat(method(config)).isEqualTo("lathe");
    assertThat(config.at("/lathe/int8_activations"))
        .isEqualTo(StrictJson.mapper().readTree("[\"model.layers.0.mlp.up_proj\"]"));
    assertThat(Stream.of("model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj", "b"))
        .filteredOn(StorageRecord.int8Activations("config.json", config))
        .containsExactly("model.layers.0.mlp.up_proj");
    assertThat(into(CONFIG, List.of(), List.of(table, UP)).at("/lathe/int8_activations"))
        .isEqualTo(MissingNode.getInstance());
  }

  @Test
  void otherActivationsAreNotTakenForThese() {
    ObjectNode good = into(CONFIG, List.of("model.layers.0.mlp.up_proj"), List.of(EMBEDDING, UP));
    String place = "/quantization_config/config_groups/group_0";
    Map<String, Consumer<ObjectNode>> changes =
        Map.of(
            "static", c -> ((ObjectNode) c.at(place + "/input_activations")).put("dynamic", false),
            "4 bits", c -> ((ObjectNode) c.at(place + "/input_activations")).put("num_bits", 4),
            "FP8", c -> ((ObjectNode) c.at(place + "/input_activations")).put("type", "float"),
            "tensor",
                c -> ((ObjectNode) c.at(place + "/input_activations")).put("strategy", "tensor"),
            "asymmetric",
                c -> ((ObjectNode) c.at(place + "/input_activations")).put("symmetric", false),
            "none", c -> ((ObjectNode) c.at(place)).putNull("input_activations"),
            "other targets", c -> ((ObjectNode) c.at(place)).putArray("targets").add("re:.*up"),
            "patterns", c -> ((ArrayNode) c.at("/quantization_config/ignore")).add("re:.*up_proj"),
            "ignored",
                c ->
                    ((ArrayNode) c.at("/quantization_config/ignore"))
                        .add("model.layers.0.mlp.up_proj"),
            "another method",
                c -> ((ObjectNode) c.at("/quantization_config")).put("quant_method", "gptq"));
    assertThat(StorageRecord.int8Activations("", good).test("model.layers.0.mlp.up_proj")).isTrue();
    changes.forEach((what, change) -> {
      ObjectNode config = good.deepCopy();
      change.accept(config);
      assertThat(StorageRecord.int8Activations("", config).test("model.layers.0.mlp.up_proj"))
          .as(what)
          .isFalse();
    });
  }

  @Test
  void aListThatIsNoneIsRefused() {
    for (String list : List.of("true", "\"a\"", "{\"a\": 1}", "[1]", "[\"a\", null]")) {
      ObjectNode config =
          (ObjectNode)
              StrictJson.mapper()
                  .readTree("{\"lathe\": {\"int8_activations\": %s}}".formatted(list));
      assertThatThrownBy(() -> StorageRecord.int8Activations("m/config.json", config))
          .isInstanceOf(InvalidInputException.class)
          .hasMessage("m/config.json: lathe.int8_activations must be a list of names of modules");
    }
  }

  @Test
  void anInt8CacheIsSaidBesideWhateverTheWeightsAre() {
    List<TensorInfo> plain = WeightFormat.dense("model.layers.0.mlp.up_proj", 4, 8, DType.BF16);
    ObjectNode cached = StorageRecord.into(CONFIG, plain, List.of(), true);
    // Other engines read plain weights as before.
    assertThat(cached.propertyNames()).containsExactlyInAnyOrder("model_type", "lathe");
    assertThat(cached.get("lathe"))
        .isEqualTo(StrictJson.mapper().readTree("{\"format_version\": 1, \"kv_cache\": \"int8\"}"));
    assertThat(StorageRecord.cacheType("config.json", cached)).contains(DType.I8);
    assertThat(StorageRecord.cacheType("config.json", CONFIG)).isEmpty();
    // Nobody has to say it again.
    ObjectNode quantized = into(cached, List.of(), List.of(EMBEDDING, UP));
    assertThat(method(quantized)).isEqualTo("compressed-tensors");
    assertThat(quantized.get("lathe"))
        .isEqualTo(
            StrictJson.mapper()
                .readTree(
                    """
                    {"format_version": 1, "kv_cache": "int8", "weights": {"bf16": 1, "int8": 1}}
                    """));
    assertThat(into(quantized, List.of(), List.of(plain))).isEqualTo(cached);
    ObjectNode listed =
        StorageRecord.into(
            CONFIG,
            Stream.of(UP, DOWN).flatMap(List::stream).toList(),
            List.of("model.layers.0.mlp.up_proj"),
            true);
    assertThat(listed.get("lathe").propertyNames())
        .containsExactlyInAnyOrder("format_version", "kv_cache", "weights", "int8_activations");
  }

  @Test
  void anotherCacheIsRefusedWithWhatIsAllowed() {
    for (String type : List.of("\"fp8\"", "\"INT8\"", "8", "true", "null", "{}", "[\"int8\"]")) {
      ObjectNode config =
          (ObjectNode)
              StrictJson.mapper().readTree("{\"lathe\": {\"kv_cache\": %s}}".formatted(type));
      assertThatThrownBy(() -> StorageRecord.cacheType("m/config.json", config))
          .isInstanceOf(InvalidInputException.class)
          .hasMessage(
              "m/config.json: lathe.kv_cache is %s; allowed: \"int8\", or no such key, which leaves the type of keys and values to the backend"
                  .formatted(type));
    }
  }

  private static String method(ObjectNode config) {
    return config.get("quantization_config").get("quant_method").stringValue();
  }
}
