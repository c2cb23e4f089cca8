package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.SharedFiles;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A real model from one format to the other and back. */
class ConversionTest {
  @TempDir Path folder;

  private Conversion.Result gguf(Path in, String name, Optional<Conversion.Type> type) {
    try (Checkpoint checkpoint = Checkpoints.open(in)) {
      return Conversion.toGguf(checkpoint, folder.resolve(name), type, "test", bytes -> {});
    }
  }

  private Conversion.Result safetensors(Path in, String name, Optional<Conversion.Type> type) {
    try (Checkpoint checkpoint = Checkpoints.open(in)) {
      return Conversion.toSafetensors(checkpoint, folder.resolve(name), type, "test", bytes -> {});
    }
  }

  private static void assertSameTensors(Path one, Path other) {
    try (Checkpoint a = Checkpoints.open(one);
        Checkpoint b = Checkpoints.open(other)) {
      assertThat(a.tensors()).isEqualTo(b.tensors());
      for (String name : a.tensors().keySet()) {
        assertThat(a.tensor(name).memory().mismatch(b.tensor(name).memory()))
            .as(name)
            .isEqualTo(-1);
      }
    }
  }

  @Test
  void f32ThereAndBackIsTheSameModel() throws IOException {
    Path model = SharedFiles.require("models/stories260k");
    Conversion.Result there = gguf(model, "a.gguf", Optional.empty());
    assertThat(there.bytes()).isEqualTo(Files.size(there.out()));
    assertThat(there.notes()).isEmpty();
    assertThat(there.layers()).hasSize(36).allSatisfy(l -> assertThat(l.error()).isZero());
    Path back = safetensors(there.out(), "back", Optional.empty()).out();
    assertSameTensors(model, back);
    assertThat(Files.readAllBytes(back.resolve("tokenizer.json")))
        .isEqualTo(Files.readAllBytes(model.resolve("tokenizer.json")));
    try (Checkpoint checkpoint = Checkpoints.open(back)) {
      assertThat(checkpoint.lineage().steps())
          .extracting(Lineage.Step::technique)
          .containsExactly("convert gguf", "convert safetensors");
    }
    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left.map(path -> path.getFileName().toString()))
          .containsExactlyInAnyOrder("a.gguf", "back");
    }
  }

  /** The file's own order is the one of the reference writer: what it wrote, bit by bit. */
  @Test
  void queryRowsLieAsTheFormatHasThem() {
    Path reference = SharedFiles.require("models/stories260k.gguf");
    Path written =
        gguf(SharedFiles.require("models/stories260k"), "a.gguf", Optional.empty()).out();
    try (Arena arena = Arena.ofConfined()) {
      GgufFile expected = GgufFile.open(reference, arena);
      GgufFile actual = GgufFile.open(written, arena);
      int compared = 0;
      for (GgufFile.Entry entry : actual.tensors()) {
        GgufFile.Entry other =
            expected.tensors().stream()
                .filter(e -> e.name().equals(entry.name()))
                .findFirst()
                .orElseThrow();
        assertThat(other.shape()).isEqualTo(entry.shape());
        assertThat(actual.data(entry).mismatch(expected.data(other)))
            .as(entry.name())
            .isEqualTo(-1);
        compared++;
      }
      assertThat(compared).isEqualTo(47);
      assertThat(actual.metadata().floats("tokenizer.ggml.scores").orElseThrow().length)
          .isEqualTo(512);
    }
  }

  @ParameterizedTest
  @EnumSource(Conversion.Type.class)
  void everyTypeThereIsComesBackAsItWasStored(Conversion.Type type) {
    Path model = SharedFiles.require("models/stories260k");
    Conversion.Result there = gguf(model, "typed.gguf", Optional.of(type));
    double limit =
        switch (type) {
          case F32 -> 0;
          // Half a unit in the last place, relative to each weight; to the largest of 32 for Q8_0:
          // at most half a step of max / 127, and max is at most sqrt(32) times the mean square.
          case F16 -> 0x1p-11;
          case BF16 -> 0x1p-8;
          case Q8_0 -> 0.5 / 127 * Math.sqrt(32) * 1.001;
        };
    assertThat(there.layers()).allSatisfy(l -> assertThat(l.error()).isBetween(0.0, limit));
    if (type != Conversion.Type.F32) {
      assertThat(there.layers()).anySatisfy(l -> assertThat(l.error()).isPositive());
    }
    Path again = gguf(there.out(), "again.gguf", Optional.empty()).out();
    assertSameTensors(there.out(), again);
    assertSameTensors(there.out(), safetensors(again, "folder", Optional.empty()).out());
  }

  @Test
  void matricesThatQ8CannotHoldSaySo() {
    Conversion.Result q8 =
        gguf(
            SharedFiles.require("models/stories260k"),
            "q8.gguf",
            Optional.of(Conversion.Type.Q8_0));
    assertThat(q8.layers())
        .filteredOn(layer -> layer.name().endsWith("down_proj"))
        .hasSize(5)
        .allSatisfy(layer -> {
          assertThat(layer.format()).isEqualTo("f16");
          assertThat(layer.note()).contains("172 columns", "F16 instead");
        });
    assertThat(q8.layers())
        .filteredOn(layer -> !layer.name().endsWith("down_proj"))
        .allSatisfy(layer -> assertThat(layer.format()).isEqualTo("q8_0"));
  }

  /** No weight is further from its code than half a scale, and none clips. */
  @Test
  void q8RoundsToNearest() {
    Random random = new Random(11);
    for (int n = 0; n < 300; n++) {
      double[] row = new double[64];
      for (int c = 0; c < row.length; c++) {
        row[c] = (float) (random.nextGaussian() * Math.pow(10, random.nextInt(6) - 4));
      }
      double[] stored = row.clone();
      byte[] bytes = new byte[68];
      GgufEncoder.encode(GgmlType.Q8_0, stored, MemorySegment.ofArray(bytes), "test");
      float[] read = new float[64];
      GgufBlocks.dequantize(GgmlType.Q8_0, MemorySegment.ofArray(bytes), 0, read, 0);
      GgufBlocks.dequantize(GgmlType.Q8_0, MemorySegment.ofArray(bytes), 34, read, 32);
      for (int c = 0; c < row.length; c++) {
        float scale = GgufBlocks.half(MemorySegment.ofArray(bytes), c / 32 * 34L);
        assertThat((double) read[c]).isEqualTo(stored[c]);
        assertThat(Math.abs(read[c] - row[c])).isLessThanOrEqualTo(scale / 2.0);
      }
    }
    double[] large = {1e9};
    MemorySegment out = MemorySegment.ofArray(new byte[2]);
    assertThatThrownBy(() -> GgufEncoder.encode(GgmlType.F16, large, out, "here"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContainingAll("here", "1.0E9", "F16", "bf16");
  }

  @Test
  void whatExistsIsKeptAndNamesMustFit() throws IOException {
    Path model = SharedFiles.require("models/stories260k");
    Files.writeString(folder.resolve("there.gguf"), "mine");
    assertThatThrownBy(() -> gguf(model, "there.gguf", Optional.empty()))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("exists already");
    assertThat(folder.resolve("there.gguf")).hasContent("mine");
    assertThatThrownBy(() -> gguf(model, "model.bin", Optional.empty()))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("must end with .gguf");
    assertThatThrownBy(() -> safetensors(model, "q8", Optional.of(Conversion.Type.Q8_0)))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("f32, f16, bf16");
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt-2", "llama-bpe", "qwen2"})
  void byteLevelTokenizersGoOver(String pre) {
    List<String> tokens = List.of("a", "b", "ab", "<|end|>");
    Path in = GgufModels.byteLevel(folder.resolve("in.gguf"), pre, tokens, List.of("a b"));
    Path out = gguf(in, "out.gguf", Optional.empty()).out();
    try (Arena arena = Arena.ofConfined()) {
      GgufMetadata metadata = GgufFile.open(out, arena).metadata();
      assertThat(metadata.string("tokenizer.ggml.model")).contains("gpt2");
      assertThat(metadata.string("tokenizer.ggml.pre")).contains(pre);
      assertThat(metadata.strings("tokenizer.ggml.tokens")).contains(tokens);
      assertThat(metadata.strings("tokenizer.ggml.merges")).contains(List.of("a b"));
      assertThat(metadata.integers("tokenizer.ggml.token_type").orElseThrow())
          .containsExactly(1, 1, 1, 3);
    }
  }

  /** A technique on a GGUF file writes a folder that has the tokenizer. */
  @Test
  void companionsAreMadeWhereTheyWereNoFiles() {
    Path reference = SharedFiles.require("models/stories260k.gguf");
    Path out = safetensors(reference, "folder", Optional.of(Conversion.Type.BF16)).out();
    try (Checkpoint checkpoint = Checkpoints.open(out)) {
      assertThat(checkpoint.file("tokenizer.json")).isPresent();
      assertThat(checkpoint.file("tokenizer_config.json")).isPresent();
      Weight weight = checkpoint.weight("model.layers.0.mlp.up_proj");
      assertThat(((Weight.Dense) weight).values().dtype()).isEqualTo(DType.BF16);
      double[] row = new double[(int) weight.cols()];
      WeightRows.read(weight, 0, row);
      try (Checkpoint original = Checkpoints.open(reference)) {
        float first =
            Floats.get(original.tensor("model.layers.0.mlp.up_proj.weight").memory(), DType.F32, 0);
        assertThat(row[0]).isEqualTo(Floats.fromBf16(Floats.toBf16(first)));
      }
    }
  }
}
