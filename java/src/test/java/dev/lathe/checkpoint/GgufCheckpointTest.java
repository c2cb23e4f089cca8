package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.SharedFiles;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tools.jackson.databind.node.ObjectNode;

/** Names, shapes, order of rows, configuration and numbers of what a GGUF file holds. */
class GgufCheckpointTest {
  @TempDir Path folder;

  private Checkpoint open(GgufFixture fixture) {
    Path file = folder.resolve("model.gguf");
    SafetensorsFixture.write(file, fixture.bytes());
    return Checkpoints.open(file);
  }

  @Test
  void configurationIsTheMetadata() {
    try (Checkpoint checkpoint = open(GgufFixture.tinyLlama())) {
      ObjectNode config = checkpoint.config();
      assertThat(config.get("model_type").stringValue()).isEqualTo("llama");
      assertThat(config.get("hidden_size").intValue()).isEqualTo(8);
      assertThat(config.get("num_key_value_heads").intValue()).isEqualTo(2);
      assertThat(config.get("head_dim").intValue()).isEqualTo(4);
      assertThat(config.get("vocab_size").intValue()).isEqualTo(4);
      assertThat(config.get("rms_norm_eps").doubleValue()).isEqualTo(1e-5);
      assertThat(config.get("tie_word_embeddings").booleanValue()).isTrue();
      assertThat(checkpoint.content("tokenizer.json")).isEmpty();
    }
  }

  @Test
  void keysThatNobodyKnowsAreNamed() {
    GgufFixture fixture = GgufFixture.tinyLlama();
    fixture.u32("llama.vocab_size", 4).f32("llama.residual_twist", 1).u32("general.twist", 1);
    SafetensorsFixture.write(folder.resolve("model.gguf"), fixture.bytes());
    try (Arena arena = Arena.ofConfined()) {
      GgufMetadata metadata = GgufFile.open(folder.resolve("model.gguf"), arena).metadata();
      assertThat(GgufUnsupportedKeys.unknown(metadata, GgufArchitecture.LLAMA))
          .containsExactly("llama.residual_twist");
    }
  }

  @Test
  void rowsOfQueriesAreInHuggingFacesOrder() {
    try (Checkpoint checkpoint = open(GgufFixture.tinyLlama())) {
      Tensor query = checkpoint.tensor("model.layers.0.self_attn.q_proj.weight");
      int[] inFile = {0, 2, 1, 3, 4, 6, 5, 7};
      assertThat(firstColumn(query)).isEqualTo(expected(inFile));
      // Canaries: neither the order of the file nor the inverse of the right one at eight rows.
      assertThat(firstColumn(query)).isNotEqualTo(expected(0, 1, 2, 3, 4, 5, 6, 7));
    }
    GgufRows rows = new GgufRows(6);
    assertThat(IntStream.range(0, 6).mapToLong(rows::inGguf))
        .containsExactly(0L, 2L, 4L, 1L, 3L, 5L);
    for (long row = 0; row < 24; row++) {
      assertThat(rows.inHuggingFace(rows.inGguf(row))).isEqualTo(row);
    }
  }

  private static List<Float> firstColumn(Tensor matrix) {
    return IntStream.range(0, (int) matrix.size(0))
        .mapToObj(
            r -> matrix.memory().get(ValueLayout.JAVA_FLOAT_UNALIGNED, r * 4L * matrix.size(1)))
        .toList();
  }

  private static List<Float> expected(int... rowsOfTheFile) {
    List<Float> values = new ArrayList<>();
    for (int row : rowsOfTheFile) {
      values.add(100f + 8 * row);
    }
    return values;
  }

  /** Q8_0 becomes INT8 by groups of 32 without loss; K-quants become F32; rows still move. */
  @Test
  void quantizedTensorsKeepTheirNumbers() {
    for (GgmlType type :
        List.of(GgmlType.Q8_0, GgmlType.Q4_0, GgmlType.Q4_K, GgmlType.Q5_K, GgmlType.Q6_K)) {
      int rows = 8;
      int cols = 256;
      byte[] data = new byte[(int) type.bytes((long) rows * cols)];
      new Random(5).nextBytes(data);
      for (int at = 0; at < data.length; at += type.blockBytes()) {
        // F16 numbers of some hundredths, wherever the type keeps them.
        for (int half : type == GgmlType.Q6_K ? new int[] {208} : new int[] {0, 2}) {
          data[at + half + 1] = 0x24;
        }
      }
      GgufFixture fixture = GgufFixture.tinyLlama();
      fixture.tensor("blk.0.attn_k.weight", type.id(), data, cols, rows);
      fixture.tensor("blk.0.ffn_up.weight", type.id(), data, cols, rows);
      try (Checkpoint checkpoint = open(fixture)) {
        Weight up = checkpoint.weight("model.layers.0.mlp.up_proj");
        Weight key = checkpoint.weight("model.layers.0.self_attn.k_proj");
        if (type == GgmlType.Q8_0) {
          assertThat(up).isInstanceOf(Weight.Int8.class);
          assertThat(((Weight.Int8) up).groupSize()).isEqualTo(32);
        } else {
          assertThat(((Weight.Dense) up).values().dtype()).isEqualTo(DType.F32);
        }
        for (int r = 0; r < rows; r++) {
          assertThat(row(up, r)).as("%s row %d", type, r).isEqualTo(row(type, data, r, cols));
          int inFile = new int[] {0, 2, 1, 3, 4, 6, 5, 7}[r];
          assertThat(row(key, r)).isEqualTo(row(type, data, inFile, cols));
        }
      }
    }
  }

  private static double[] row(Weight weight, int row) {
    double[] out = new double[(int) weight.cols()];
    WeightRows.read(weight, row, out);
    return out;
  }

  private static double[] row(GgmlType type, byte[] data, int row, int cols) {
    float[] out = new float[cols];
    long rowBytes = type.bytes(cols);
    for (int c = 0; c < cols; c += type.blockElements()) {
      long at = row * rowBytes + type.bytes(c);
      GgufBlocks.dequantize(type, MemorySegment.ofArray(data), at, out, c);
    }
    return IntStream.range(0, cols).mapToDouble(c -> out[c]).toArray();
  }

  @ParameterizedTest
  @EnumSource(GgufArchitecture.class)
  void everyNameOfTheTableGoesBothWays(GgufArchitecture architecture) {
    GgufNames names = architecture.names();
    assertThat(names.modules()).hasSizeGreaterThan(8);
    names
        .modules()
        .keySet()
        .forEach(module -> {
          String gguf = module.replace("N", "12") + ".weight";
          String there = names.huggingFace(gguf).orElseThrow();
          assertThat(names.gguf(there)).contains(gguf);
          if (module.contains("N")) {
            assertThat(GgufNames.layer(gguf)).hasValue(12);
            assertThat(GgufNames.layer(there)).hasValue(12);
          }
        });
  }

  @Test
  void namesAreThoseOfTheTableOnly() {
    GgufNames llama = GgufArchitecture.LLAMA.names();
    assertThat(llama.huggingFace("blk.7.attn_q.bias"))
        .contains("model.layers.7.self_attn.q_proj.bias");
    for (String wrong :
        List.of(
            "blk.x.attn_q.weight",
            "blk.N.attn_q.weight",
            "blk.007.attn_q.weight",
            "model.layers.0.attn_q.weight",
            "blk.0.attn_qkv.weight",
            "blk.0.attn_q_norm.weight",
            "blk.0.attn_q")) {
      assertThat(llama.huggingFace(wrong)).as(wrong).isEmpty();
    }
    assertThat(
            GgufArchitecture.GEMMA2.names().gguf("model.layers.1.post_attention_layernorm.weight"))
        .contains("blk.1.post_attention_norm.weight");
    assertThat(
            GgufArchitecture.QWEN2.names().gguf("model.layers.1.post_attention_layernorm.weight"))
        .contains("blk.1.ffn_norm.weight");
  }

  /** The same trained model in both formats has the same weights, bit by bit. */
  @Test
  void aRealFileHoldsTheSameModelAsItsSafetensors() {
    Path gguf = SharedFiles.require("models/stories260k.gguf");
    Path safetensors = SharedFiles.require("models/stories260k");
    try (Checkpoint one = Checkpoints.open(gguf);
        Checkpoint other = Checkpoints.open(safetensors)) {
      assertThat(one.tensors()).hasSize(48).containsAllEntriesOf(other.tensors());
      for (String name : other.tensors().keySet()) {
        assertThat(one.tensor(name).memory().mismatch(other.tensor(name).memory()))
            .as(name)
            .isEqualTo(-1);
      }
      // It has a head of its own, which is the embedding that the other ties.
      assertThat(
              one.tensor("lm_head.weight")
                  .memory()
                  .mismatch(other.tensor("model.embed_tokens.weight").memory()))
          .isEqualTo(-1);
      ObjectNode config = one.config();
      // This file says 128 where the model was trained with 512.
      assertThat(config.get("max_position_embeddings").intValue()).isEqualTo(128);
      Set.of("torch_dtype", "max_position_embeddings", "tie_word_embeddings")
          .forEach(key -> config.remove(key));
      config
          .properties()
          .forEach(entry ->
              assertThat(entry.getValue().toString())
                  .as(entry.getKey())
                  .isEqualTo(other.config().get(entry.getKey()).toString()));
    }
  }
}
