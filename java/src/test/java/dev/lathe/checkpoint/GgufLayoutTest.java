package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.model.RandomModel;
import dev.lathe.model.RandomModels;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What lies in a written file, by the conventions of the format's reference implementation: a
 * reader that makes the same mistake as the writer would not be noticed from outside.
 */
class GgufLayoutTest {
  @TempDir Path folder;

  /** A written file: keys, and tensors by their names in the file. */
  private record Written(GgufFile file, Map<String, GgufFile.Entry> tensors, List<String> notes) {
    float value(String tensor, long index) {
      MemorySegment data = file.data(tensors.get(tensor));
      return data.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * index);
    }

    long integer(String key) {
      return file.metadata().integer(key).orElseThrow();
    }

    double number(String key) {
      return file.metadata().number(key).orElseThrow();
    }
  }

  private Written write(Checkpoint model, Arena arena) {
    Path out = folder.resolve("model.gguf");
    List<String> notes =
        Conversion.toGguf(model, out, Optional.empty(), "test", bytes -> {}).notes();
    GgufFile file = GgufFile.open(out, arena);
    return new Written(
        file,
        file.tensors().stream().collect(Collectors.toMap(GgufFile.Entry::name, entry -> entry)),
        notes.stream().filter(note -> !note.contains("no tokenizer")).toList());
  }

  private static float value(Checkpoint model, String tensor, long index) {
    return model.tensor(tensor).memory().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * index);
  }

  @Test
  void gpt2() {
    try (RandomModel model = RandomModels.GPT2.make();
        Arena arena = Arena.ofConfined()) {
      Written gguf = write(model, arena);
      assertThat(gguf.file.metadata().string("general.architecture")).contains("gpt2");
      assertThat(gguf.tensors).hasSize(5 + 3 * 12);
      // Tied, and there all the same.
      assertThat(gguf.file.data(gguf.tensors.get("output.weight")))
          .matches(
              head -> head.mismatch(gguf.file.data(gguf.tensors.get("token_embd.weight"))) == -1);
      assertThat(gguf.tensors.get("blk.2.attn_qkv.weight").shape()).containsExactly(63, 21);
      assertThat(gguf.tensors.get("blk.2.ffn_up.weight").shape()).containsExactly(84, 21);
      // Output 5 of input 3.
      assertThat(gguf.value("blk.2.attn_qkv.weight", 5 * 21 + 3))
          .isEqualTo(value(model, "h.2.attn.c_attn.weight", 3 * 63 + 5));
      assertThat(gguf.value("blk.1.ffn_down.weight", 5 * 84 + 3))
          .isEqualTo(value(model, "h.1.mlp.c_proj.weight", 3 * 21 + 5));
      assertThat(gguf.value("blk.1.ffn_norm.bias", 7)).isEqualTo(value(model, "h.1.ln_2.bias", 7));
      assertThat(gguf.value("position_embd.weight", 22)).isEqualTo(value(model, "wpe.weight", 22));
      assertThat(gguf.number("gpt2.attention.layer_norm_epsilon")).isEqualTo(1e-5);
      assertThat(gguf.integer("gpt2.feed_forward_length")).isEqualTo(84);
      assertThat(gguf.notes).isEmpty();
    }
  }

  /** The weights as they lie are looked at, not a copy in another order. */
  @Test
  void whatIsStoredTransposedIsCheckedForNumbers() throws IOException {
    for (GgmlType type : List.of(GgmlType.F32, GgmlType.Q8_0)) {
      Path out = folder.resolve(type + ".gguf");
      try (RandomModel model = RandomModels.GPT2_WIDE.make()) {
        Conversion.Type asked = Conversion.Type.valueOf(type.name());
        Conversion.toGguf(model, out, Optional.of(asked), "test", bytes -> {});
      }
      long offset;
      try (Checkpoint checkpoint = Checkpoints.open(out);
          Arena arena = Arena.ofConfined()) {
        CheckpointValidation.requireFinite(checkpoint);
        offset =
            GgufFile.open(out, arena).tensors().stream()
                .filter(entry -> entry.name().equals("blk.2.ffn_down.weight"))
                .mapToLong(GgufFile.Entry::offset)
                .findFirst()
                .orElseThrow();
      }
      byte[] file = Files.readAllBytes(out);
      // The first weight, or the scale of the first 32, little-endian.
      byte[] nan = type == GgmlType.F32 ? new byte[] {0, 0, -64, 127} : new byte[] {0, 126};
      System.arraycopy(nan, 0, file, (int) offset, nan.length);
      Files.write(out, file);
      try (Checkpoint checkpoint = Checkpoints.open(out)) {
        assertThatThrownBy(() -> CheckpointValidation.requireFinite(checkpoint))
            .isInstanceOf(InvalidInputException.class)
            .hasMessageContaining("h.2.mlp.c_proj.weight has NaN in row 0, column 0");
      }
    }
  }

  @Test
  void gemma2() {
    try (RandomModel model = RandomModels.GEMMA2.make();
        Arena arena = Arena.ofConfined()) {
      Written gguf = write(model, arena);
      Map.of(
              "blk.1.attn_norm", "model.layers.1.input_layernorm",
              "blk.1.post_attention_norm", "model.layers.1.post_attention_layernorm",
              "blk.1.ffn_norm", "model.layers.1.pre_feedforward_layernorm",
              "blk.1.post_ffw_norm", "model.layers.1.post_feedforward_layernorm",
              "output_norm", "model.norm")
          .forEach((there, here) ->
              assertThat(gguf.value(there + ".weight", 3))
                  .as(there)
                  .isEqualTo(value(model, here + ".weight", 3) + 1));
      // Query rows lie as Hugging Face has them.
      assertThat(gguf.value("blk.0.attn_q.weight", 22))
          .isEqualTo(value(model, "model.layers.0.self_attn.q_proj.weight", 22));
      assertThat(gguf.number("gemma2.attn_logit_softcapping")).isEqualTo(2.5);
      assertThat(gguf.number("gemma2.final_logit_softcapping")).isEqualTo(4);
      assertThat(gguf.integer("gemma2.attention.key_length")).isEqualTo(10);
      assertThat(gguf.integer("gemma2.attention.sliding_window")).isEqualTo(9);
      assertThat(gguf.file.metadata().has("gemma2.attention.sliding_window_pattern")).isFalse();
      assertThat(gguf.notes).singleElement().asString().contains("13.0", "10.0", "attention.scale");
      model.config().remove("attn_logit_softcapping");
      assertThatThrownBy(() ->
              Conversion.toGguf(
                  model, folder.resolve("x.gguf"), Optional.empty(), "test", bytes -> {}))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContainingAll("attn_logit_softcapping", "no word for no cap");
    }
  }

  @Test
  void phi3() {
    try (RandomModel model = RandomModels.PHI3.make();
        Arena arena = Arena.ofConfined()) {
      Written gguf = write(model, arena);
      assertThat(gguf.tensors.get("blk.0.attn_qkv.weight").shape()).containsExactly(100, 22);
      assertThat(gguf.tensors.get("blk.0.ffn_up.weight").shape()).containsExactly(74, 22);
      assertThat(gguf.value("blk.0.ffn_up.weight", 40 * 22))
          .isEqualTo(value(model, "model.layers.0.mlp.gate_up_proj.weight", 40 * 22));
      assertThat(gguf.integer("phi3.feed_forward_length")).isEqualTo(37);
      assertThat(gguf.integer("phi3.attention.sliding_window")).isEqualTo(33);
      assertThat(gguf.notes).singleElement().asString().contains("beyond 33 tokens");
      model.config().remove("sliding_window");
    }
  }

  @Test
  void aWindowOfTheWholeContextIsNone() {
    for (RandomModels kind :
        List.of(RandomModels.PHI3, RandomModels.GEMMA2, RandomModels.MISTRAL)) {
      try (RandomModel model = kind.make();
          Arena arena = Arena.ofConfined()) {
        model.config().remove("sliding_window");
        model.config().put("query_pre_attn_scalar", 10);
        Written gguf = write(model, arena);
        String key =
            gguf.file.metadata().string("general.architecture").orElseThrow()
                + ".attention.sliding_window";
        switch (kind) {
          case PHI3 -> assertThat(gguf.integer(key)).isZero();
          case GEMMA2 -> assertThat(gguf.integer(key)).isEqualTo(90);
          default -> assertThat(gguf.file.metadata().has(key)).isFalse();
        }
        assertThat(gguf.notes).isEmpty();
      }
      folder.resolve("model.gguf").toFile().delete();
    }
  }

  @Test
  void qwensAndMistral() {
    try (RandomModel model = RandomModels.QWEN2_TIED_WINDOW.make();
        Arena arena = Arena.ofConfined()) {
      Written gguf = write(model, arena);
      assertThat(gguf.integer("qwen2.attention.sliding_window")).isEqualTo(18);
      assertThat(
              gguf.file.metadata().integers("qwen2.attention.sliding_window_pattern").orElseThrow())
          .containsExactly(0, 1, 1);
      assertThat(gguf.tensors).containsKey("blk.0.attn_q.bias").doesNotContainKey("output.weight");
      assertThat(gguf.value("blk.0.attn_q.weight", 22))
          .isEqualTo(value(model, "model.layers.0.self_attn.q_proj.weight", 22));
    }
    folder.resolve("model.gguf").toFile().delete();
    try (RandomModel model = RandomModels.MISTRAL.make();
        Arena arena = Arena.ofConfined()) {
      Written gguf = write(model, arena);
      assertThat(gguf.file.metadata().string("general.architecture")).contains("llama");
      assertThat(gguf.integer("llama.attention.sliding_window")).isEqualTo(7);
      // Row 1 of a head of 10 is the first of its second half.
      assertThat(gguf.value("blk.0.attn_q.weight", 22))
          .isEqualTo(value(model, "model.layers.0.self_attn.q_proj.weight", 5 * 22));
      assertThat(gguf.notes).singleElement().asString().contains("beyond 7 tokens");
    }
  }

  @Test
  void llama3() {
    try (RandomModel model = RandomModels.LLAMA_3_ROPE.make();
        Arena arena = Arena.ofConfined()) {
      Written gguf = write(model, arena);
      assertThat(gguf.tensors.get("rope_freqs.weight").shape()).containsExactly(5);
      assertThat(gguf.value("rope_freqs.weight", 0)).isEqualTo(1);
      assertThat(gguf.value("rope_freqs.weight", 4)).isEqualTo(8);
      // Pair 1 of theta 100 and 10 elements: 40 / (2 pi) 100^-0.2 = 2.534 waves, so
      // kept (2.534 - 1) / 3 = 0.5115, and 1 / (0.5115 + 0.4885 / 8) = 1.746.
      assertThat(gguf.value("rope_freqs.weight", 1)).isBetween(1.7455f, 1.7475f);
      assertThat(gguf.file.metadata().has("llama.rope.scaling.type")).isFalse();
      model.config().putArray("architectures").add("Qwen2ForCausalLM");
      assertThatThrownBy(() ->
              Conversion.toGguf(
                  model, folder.resolve("x.gguf"), Optional.empty(), "test", bytes -> {}))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContainingAll("llama3", "no place", "qwen2");
      model.config().putObject("rope_scaling").put("rope_type", "longrope");
      assertThatThrownBy(() ->
              Conversion.toGguf(
                  model, folder.resolve("x.gguf"), Optional.empty(), "test", bytes -> {}))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("longrope");
    }
  }
}
