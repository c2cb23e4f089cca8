package dev.lathe.checkpoint;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Stream;

/** Small valid files, which a fuzzer starts from. */
public final class FuzzSeeds {
  private FuzzSeeds() {}

  /** Plain, INT8 and bitmap matrices, scalars, metadata, nothing at all. */
  public static Stream<byte[]> safetensors() {
    String plain =
        """
        {"__metadata__":{"format":"pt"},
         "a.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
         "b.bias":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]},
         "c":{"dtype":"F16","shape":[],"data_offsets":[24,26]}}\
        """;
    String int8 =
        """
        {"a.weight_scale":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
         "a.weight":{"dtype":"I8","shape":[2,64],"data_offsets":[16,144]},
         "a.weight_zero_point":{"dtype":"I8","shape":[2,2],"data_offsets":[144,148]}}\
        """;
    String bitmap =
        """
        {"a.weight_values":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},
         "a.weight_bitmap":{"dtype":"U8","shape":[2,1],"data_offsets":[12,14]}}\
        """;
    String odd =
        """
        {"a.weight_shape":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},
         "a.weight_values":{"dtype":"I8","shape":[2],"data_offsets":[16,18]},
         "a.weight_scale":{"dtype":"BF16","shape":[2,1],"data_offsets":[18,22]},
         "a.weight_bitmap":{"dtype":"U8","shape":[2,1],"data_offsets":[22,24]}}\
        """;
    ByteBuffer oddData = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
    oddData.putLong(2).putLong(7).putLong(0x0101_3f80_3f80_0101L);
    return Stream.of(
        SafetensorsFixture.file("{}", 0),
        SafetensorsFixture.file(plain, 26),
        SafetensorsFixture.file(int8, 148),
        SafetensorsFixture.file(bitmap, bytes(14, 12, 3, 13, 4)),
        SafetensorsFixture.file(odd, oddData.array()));
  }

  /** A file with one matrix of four zeros. */
  public static byte[] shard(String tensor) {
    return SafetensorsFixture.file(
        "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}".formatted(tensor),
        16);
  }

  /** Indexes over {@link #shard} of a.weight in 1.safetensors and of b.weight in 2.safetensors. */
  public static Stream<byte[]> indexes() {
    return Stream.of(
            """
            {"metadata":{"total_size":32},
             "weight_map":{"a.weight":"1.safetensors","b.weight":"2.safetensors"}}\
            """,
            "{\"weight_map\":{\"a.weight\":\"1.safetensors\"}}")
        .map(text -> text.getBytes(StandardCharsets.UTF_8));
  }

  /** None, from an embedded model, from one of another version. */
  public static Stream<byte[]> lineages() {
    return Stream.of(
            "{\"steps\":[]}",
            """
            {"steps":[
             {"parent_hash":"","technique":"train embedded on corpus 0123","tool":"lathe 0.1"},
             {"parent_hash":"89ab","technique":"quantize w8a16 rtn","tool":"lathe 0.1"}]}\
            """)
        .map(text -> text.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] bytes(int length, int... placesAndValues) {
    byte[] bytes = new byte[length];
    for (int i = 0; i < placesAndValues.length; i += 2) {
      bytes[placesAndValues[i]] = (byte) placesAndValues[i + 1];
    }
    return bytes;
  }

  /** Models of pieces and of merges, quantized tensors, none at all. */
  public static Stream<byte[]> gguf() {
    GgufFixture quantized = GgufFixture.tinyLlama();
    quantized.tensor("blk.0.ffn_up.weight", GgmlType.Q8_0.id(), new byte[34 * 2], 32, 2);
    quantized.tensor("blk.0.ffn_down.weight", GgmlType.Q4_K.id(), new byte[144], 256, 1);
    GgufFixture pieces =
        GgufModels.pieces().string("tokenizer.chat_template", "{{ messages[0].content }}");
    GgufFixture merges = GgufFixture.tinyLlama(4);
    merges.string("tokenizer.ggml.model", "gpt2");
    merges.string("tokenizer.ggml.pre", "llama-bpe");
    merges.strings("tokenizer.ggml.tokens", List.of("a", "b", "ab", "<|end|>"));
    merges.strings("tokenizer.ggml.merges", List.of("a b"));
    merges.ints("tokenizer.ggml.token_type", 1, 1, 1, 3);
    merges.u32("tokenizer.ggml.eos_token_id", 3);
    return Stream.of(GgufFixture.tinyLlama(), quantized, pieces, merges).map(GgufFixture::bytes);
  }

  /** A {@code tokenizer.json} of bytes without merges. */
  public static byte[] byteLevelTokenizer() {
    return ByteLevelTokenizer.json(300).getBytes(StandardCharsets.UTF_8);
  }
}
