package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.lathe.error.InvalidInputException;
import dev.lathe.model.ModelConfig;
import dev.lathe.model.Rope;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class SyntheticCheckpointTest {
  /** Parameters of the public models, a tied head counted once. */
  private static final Map<String, Long> PUBLISHED =
      Map.ofEntries(
          Map.entry("gemma-2-2b", 2_614_341_888L),
          Map.entry("gemma-2-9b", 9_241_705_984L),
          Map.entry("gpt2", 124_439_808L),
          Map.entry("gpt2-medium", 354_823_168L),
          Map.entry("gpt2-large", 774_030_080L),
          Map.entry("gpt2-xl", 1_557_611_200L),
          Map.entry("llama-2-7b", 6_738_415_616L),
          Map.entry("llama-2-13b", 13_015_864_320L),
          Map.entry("llama-3-8b", 8_030_261_248L),
          Map.entry("llama-3.1-8b", 8_030_261_248L),
          Map.entry("llama-3.1-70b", 70_553_706_496L),
          Map.entry("llama-3.2-1b", 1_235_814_400L),
          Map.entry("llama-3.2-3b", 3_212_749_824L),
          Map.entry("mistral-7b", 7_241_732_096L),
          Map.entry("mistral-7b-v0.3", 7_248_023_552L),
          Map.entry("phi-3-mini", 3_821_079_552L),
          Map.entry("phi-3-medium", 13_960_238_080L),
          Map.entry("qwen2.5-0.5b", 494_032_768L),
          Map.entry("qwen2.5-1.5b", 1_543_714_304L),
          Map.entry("qwen2.5-3b", 3_085_938_688L),
          Map.entry("qwen2.5-7b", 7_615_616_512L),
          Map.entry("qwen3-0.6b", 596_049_920L),
          Map.entry("qwen3-1.7b", 1_720_574_976L),
          Map.entry("qwen3-4b", 4_022_468_096L),
          Map.entry("qwen3-8b", 8_190_735_360L),
          Map.entry("smollm2-135m", 134_515_008L),
          Map.entry("smollm2-360m", 361_821_120L),
          Map.entry("smollm2-1.7b", 1_711_376_384L),
          Map.entry("tinyllama-1.1b", 1_100_048_384L));

  @TestFactory
  Stream<DynamicTest> everyShapeHasTheParametersOfThePublicModel() {
    assertThat(SyntheticShapes.names()).containsExactlyInAnyOrderElementsOf(PUBLISHED.keySet());
    return PUBLISHED.keySet().stream()
        .map(name ->
            dynamicTest(
                name,
                () -> {
                  try (Checkpoint checkpoint = Checkpoints.open(Path.of("synthetic:" + name))) {
                    long elements =
                        checkpoint.tensors().values().stream()
                            .mapToLong(TensorInfo::elements)
                            .sum();
                    assertThat(elements).isEqualTo(PUBLISHED.get(name));
                    ModelConfig config = ModelConfig.parse(checkpoint.config(), name);
                    assertThat(parameters(config)).isEqualTo(PUBLISHED.get(name));
                    boolean scaled = name.startsWith("llama-3.1") || name.startsWith("llama-3.2");
                    assertThat(config.rope().map(Rope::scaling).orElse(null) instanceof Rope.Llama3)
                        .isEqualTo(scaled);
                  }
                }));
  }

  /** Counted from the sizes, matrix by matrix. */
  private static long parameters(ModelConfig c) {
    long hidden = c.hidden();
    long queries = (long) c.heads() * c.headDim();
    long keys = (long) c.kvHeads() * c.headDim();
    long attention = hidden * (2 * queries + 2 * keys);
    long feedForward = hidden * c.intermediate() * (c.gated() ? 3 : 2);
    long layer =
        switch (c.architecture()) {
          case "GPT2LMHeadModel" -> 4 * hidden + 3 * hidden + hidden + 4 * hidden + hidden;
          case "Qwen2ForCausalLM" -> 2 * hidden + queries + 2 * keys;
          case "Qwen3ForCausalLM" -> 2 * hidden + 2L * c.headDim();
          case "Gemma2ForCausalLM" -> 4 * hidden;
          default -> 2 * hidden;
        };
    boolean gpt2 = c.architecture().startsWith("GPT2");
    long tables = c.vocabulary() * hidden * (c.tiedEmbedding() ? 1 : 2);
    long outside = gpt2 ? c.contextLength() * hidden + 2 * hidden : hidden;
    return tables + outside + c.layers() * (layer + attention + feedForward);
  }

  @ParameterizedTest
  @CsvSource({
    "synthetic:llama-3.2-1b, 2",
    "synthetic:gemma-2-2b:bf16, 2",
    "synthetic:gpt2:f32, 4",
    "synthetic:tinyllama-1.1b:f32, 4",
  })
  void bytesAreThoseOfTheFormat(String name, int bytesPerWeight) {
    try (Checkpoint checkpoint = Checkpoints.open(Path.of(name))) {
      long elements = checkpoint.tensors().values().stream().mapToLong(TensorInfo::elements).sum();
      long vectors =
          checkpoint.tensors().values().stream()
              .filter(info -> info.shape().size() == 1)
              .mapToLong(TensorInfo::elements)
              .sum();
      assertThat(checkpoint.fileBytes())
          .isEqualTo((elements - vectors) * bytesPerWeight + 4 * vectors);
    }
  }

  /** Norms do nothing, whatever the architecture stores for that. */
  @Test
  void normsAreNeutral() {
    try (Checkpoint gemma = Checkpoints.open(Path.of("synthetic:gemma-2-2b"));
        Checkpoint gpt2 = Checkpoints.open(Path.of("synthetic:gpt2"))) {
      Tensor norm = gemma.tensor("model.layers.3.pre_feedforward_layernorm.weight");
      assertThat(Floats.get(norm.memory(), DType.F32, 5)).isZero();
      assertThat(Floats.get(gpt2.tensor("h.0.ln_1.weight").memory(), DType.F32, 5)).isEqualTo(1);
      assertThat(Floats.get(gpt2.tensor("h.0.ln_1.bias").memory(), DType.F32, 5)).isNotZero();
      assertThat(gpt2.weight("h.0.attn.c_attn").rows()).isEqualTo(768);
    }
  }

  /** As a GGUF file it has its tokenizer, so that engines take text. */
  @Test
  void goesIntoAGgufFile(@TempDir Path folder) {
    Path out = folder.resolve("gpt2.gguf");
    String text = "any text: \u00e9\u4e2d\n";
    try (Checkpoint in = Checkpoints.open(Path.of("synthetic:gpt2"))) {
      Conversion.toGguf(in, out, Optional.empty(), "test", bytes -> {});
      try (Checkpoint gguf = Checkpoints.open(out);
          Tokenizer before = Tokenizers.load(in);
          Tokenizer after = Tokenizers.load(gguf)) {
        assertThat(after.vocabularySize()).isEqualTo(50_257);
        assertThat(after.encode(text)).isEqualTo(before.encode(text));
        assertThat(gguf.config().get("tie_word_embeddings").booleanValue()).isTrue();
        assertThat(gguf.tensors().keySet()).isEqualTo(in.tensors().keySet());
        String matrix = "h.11.mlp.c_proj.weight";
        assertThat(gguf.tensor(matrix).memory().mismatch(in.tensor(matrix).memory())).isEqualTo(-1);
      }
      try (Arena arena = Arena.ofConfined()) {
        GgufMetadata metadata = GgufFile.open(out, arena).metadata();
        assertThat(metadata.string("tokenizer.ggml.model")).contains("gpt2");
        assertThat(metadata.strings("tokenizer.ggml.merges").orElseThrow()).isEmpty();
      }
    }
  }

  @Test
  void int8HasAByteAWeightAndAScaleARow() {
    try (Checkpoint checkpoint = Checkpoints.open(Path.of("synthetic:smollm2-135m:int8"))) {
      Weight weight = checkpoint.weight("model.layers.3.self_attn.k_proj");
      assertThat(weight).isInstanceOf(Weight.Int8.class);
      assertThat(weight.bytes()).isEqualTo(192 * 576 + 2 * 192);
    }
  }

  @Test
  void w8a8IsInt8WithInt8ActivationsOfLinearLayers() {
    String name = "synthetic:smollm2-135m:";
    try (Checkpoint w8a8 = Checkpoints.open(Path.of(name + "w8a8"));
        Checkpoint int8 = Checkpoints.open(Path.of(name + "int8"))) {
      String k = "model.layers.3.self_attn.k_proj";
      assertThat(w8a8.weight(k).format()).isEqualTo("w8a8");
      assertThat(w8a8.weight(k).bytes()).isEqualTo(int8.weight(k).bytes());
      assertThat(w8a8.weight("model.embed_tokens").format()).isEqualTo("int8");
    }
  }

  @Test
  void theSameNameGivesTheSameWeightsAndEachTensorItsOwn() {
    String name = "synthetic:smollm2-135m";
    try (Checkpoint one = Checkpoints.open(Path.of(name));
        Checkpoint other = Checkpoints.open(Path.of(name + ":bf16"))) {
      Tensor k = one.tensor("model.layers.3.self_attn.k_proj.weight");
      assertThat(
              k.memory().mismatch(other.tensor("model.layers.3.self_attn.k_proj.weight").memory()))
          .isEqualTo(-1);
      assertThat(k.memory().mismatch(one.tensor("model.layers.3.self_attn.v_proj.weight").memory()))
          .isLessThan(100);
      assertThat(one.hash()).isEqualTo(other.hash());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16", "I8"})
  void valuesAreNormallyDistributed(DType dtype) {
    double deviation = dtype == DType.I8 ? 30 : 0.02;
    int n = (1 << 20) + 7;
    try (Arena arena = Arena.ofShared()) {
      Tensor tensor = Tensor.of(arena.allocate((long) n * dtype.bytes()), dtype, n);
      RandomWeights.fill(tensor, deviation, 99);
      double sum = 0;
      double squares = 0;
      int beyondTwo = 0;
      for (int i = 0; i < n; i++) {
        double value = Floats.get(tensor.memory(), dtype, i) / deviation;
        sum += value;
        squares += value * value;
        beyondTwo += Math.abs(value) > 2 ? 1 : 0;
      }
      assertThat(sum / n).isCloseTo(0, within(5 / Math.sqrt(n)));
      assertThat(squares / n).isCloseTo(1, within(0.01));
      // 4.55 % lie beyond two standard deviations; steps of INT8 are 1/30 of one.
      assertThat((double) beyondTwo / n)
          .isCloseTo(0.0455, within(dtype == DType.I8 ? 0.003 : 0.001));
      assertThat(Floats.get(tensor.memory(), dtype, n - 1)).isNotZero();
    }
  }

  @Test
  void theTokenizerFileGoesWithTheModel() {
    Path file;
    try (Checkpoint checkpoint = Checkpoints.open(Path.of("synthetic:tinyllama-1.1b"))) {
      file = checkpoint.file("tokenizer.json").orElseThrow();
      assertThat(file).exists();
      assertThat(checkpoint.file("tokenizer_config.json")).isEmpty();
    }
    assertThat(Files.exists(file)).isFalse();
  }

  @Test
  void namesTheShapesAndFormatsThereAre() {
    assertThatThrownBy(() -> Checkpoints.open(Path.of("synthetic:llama-9")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContainingAll(PUBLISHED.keySet().toArray(new String[0]));
    assertThatThrownBy(() -> Checkpoints.open(Path.of("synthetic:llama-3.2-1b:int4")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("bf16, f32, int8");
  }
}
