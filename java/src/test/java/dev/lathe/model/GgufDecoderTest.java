package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Backend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Conversion;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** A model of each architecture as a GGUF file, and as a folder again, computes the same. */
class GgufDecoderTest {
  /** Of the largest logit: angles and norms may differ in the last bit of F32. */
  private static final double TOLERANCE = 1e-6;

  /** Ways of stretching rotations that this version does not write. */
  private static final String NO_PLACE = ".*(YARN|LONGROPE).*";

  private static final int[] TOKENS =
      new SplittableRandom(3).ints(61, 0, RandomModels.VOCABULARY).toArray();

  @TempDir Path folder;

  private Path gguf(Checkpoint model, String name) {
    return Conversion.toGguf(model, folder.resolve(name), Optional.empty(), "test", bytes -> {})
        .out();
  }

  private Path folder(Path gguf) {
    try (Checkpoint checkpoint = Checkpoints.open(gguf)) {
      return Conversion.toSafetensors(
              checkpoint, folder.resolve("folder"), Optional.empty(), "test", bytes -> {})
          .out();
    }
  }

  private static float[] logits(Path model) {
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      return logits(checkpoint);
    }
  }

  private static float[] logits(Checkpoint checkpoint) {
    try (Backend backend = new ReferenceBackend();
        Decoder decoder = Decoder.load(checkpoint, backend);
        KvCache cache = decoder.newCache(4, 16, DType.F32);
        KvSequence sequence = cache.newSequence();
        Arena arena = Arena.ofConfined()) {
      int vocabulary = decoder.config().vocabulary();
      Tensor logits =
          Tensor.of(
              arena.allocate(4L * TOKENS.length * vocabulary, 64),
              DType.F32,
              TOKENS.length,
              vocabulary);
      Batch batch = new Batch().add(sequence, TOKENS, 0, TOKENS.length, Batch.Logits.ALL);
      decoder.forward(batch, cache, logits);
      float[] all = new float[TOKENS.length * vocabulary];
      for (int i = 0; i < all.length; i++) {
        all[i] = Floats.get(logits.memory(), DType.F32, i);
      }
      return all;
    }
  }

  private static double distance(float[] one, float[] other) {
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < other.length; i++) {
      largest = Math.max(largest, Math.abs(other[i]));
      difference = Math.max(difference, Math.abs((double) one[i] - other[i]));
    }
    return difference / largest;
  }

  @ParameterizedTest
  @EnumSource(value = RandomModels.class, mode = EnumSource.Mode.MATCH_ANY, names = NO_PLACE)
  void whatHasNoPlaceInAFileIsRefused(RandomModels kind) {
    try (RandomModel model = kind.make()) {
      assertThatThrownBy(() -> gguf(model, "model.gguf"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("cannot be written as GGUF by this version");
    }
    assertThat(folder.resolve("model.gguf")).doesNotExist();
  }

  @ParameterizedTest
  @EnumSource(value = RandomModels.class, mode = EnumSource.Mode.MATCH_NONE, names = NO_PLACE)
  void thereAndBackTheLogitsAreTheSame(RandomModels kind) {
    try (RandomModel model = kind.make()) {
      float[] expected = logits(model);
      Path gguf = gguf(model, "model.gguf");
      assertThat(distance(logits(gguf), expected)).isLessThanOrEqualTo(TOLERANCE);
      assertThat(distance(logits(folder(gguf)), expected)).isLessThanOrEqualTo(TOLERANCE);
    }
  }

  /** The canary of the test above: what a wrong reader would make of a file is seen. */
  @ParameterizedTest
  @CsvSource({
    "LLAMA_BIASED, model.layers.1.self_attn.k_proj.bias",
    "QWEN3, model.layers.2.self_attn.q_norm.weight",
    "PHI3, model.layers.0.mlp.gate_up_proj.weight",
    "GEMMA2, model.layers.1.post_feedforward_layernorm.weight",
    "GPT2, h.2.attn.c_proj.weight",
    "GPT2, wpe.weight",
  })
  void aTensorThatIsALittleOffIsSeen(RandomModels kind, String tensor) {
    try (RandomModel model = kind.make()) {
      Path gguf = gguf(model, "model.gguf");
      MemorySegment memory = model.tensor(tensor).memory();
      for (long i = 0; i < memory.byteSize() / 4; i++) {
        float value = memory.getAtIndex(ValueLayout.JAVA_FLOAT, i);
        memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, value * 1.001f);
      }
      assertThat(distance(logits(gguf), logits(model))).isGreaterThan(10 * TOLERANCE);
    }
  }

  /** GPT-2's matrices lie as they are multiplied: nothing is copied, and Q8_0 stays INT8. */
  @Test
  void matricesThatAreStoredAsTheyAreMultipliedAreNotCopied() {
    try (RandomModel model = RandomModels.GPT2_WIDE.make()) {
      Path gguf = folder.resolve("q8.gguf");
      Conversion.toGguf(model, gguf, Optional.of(Conversion.Type.Q8_0), "test", bytes -> {});
      try (Checkpoint checkpoint = Checkpoints.open(gguf)) {
        String module = "h.1.attn.c_attn";
        Weight.Int8 stored = (Weight.Int8) checkpoint.transposed(module).orElseThrow();
        assertThat(List.of(stored.rows(), stored.cols(), stored.groupSize()))
            .containsExactly(192L, 64L, 32L);
        TensorInfo whole = checkpoint.tensors().get(module + ".weight");
        assertThat(whole).isEqualTo(TensorInfo.of(module + ".weight", DType.F32, 64, 192));
        double[] row = new double[64];
        for (int r = 0; r < 192; r++) {
          WeightRows.read(stored, r, row);
          for (int c = 0; c < 64; c++) {
            float value =
                Floats.get(checkpoint.tensor(whole.name()).memory(), DType.F32, 192L * c + r);
            assertThat((double) value).isEqualTo((float) row[c]);
          }
        }
        assertThat(checkpoint.transposed("h.1.ln_1")).isEmpty();
      }
      // The same codes through the folder, where they are plain numbers.
      assertThat(distance(logits(gguf), logits(folder(gguf)))).isLessThanOrEqualTo(TOLERANCE);
    }
  }

  /** Llama 3's frequencies: lost or other ones are seen, and other engines read the folder. */
  @Test
  void ropeFactorsAreRunAndNamed() {
    try (RandomModel model = RandomModels.LLAMA_3_ROPE.make()) {
      float[] expected = logits(model);
      Path gguf = gguf(model, "model.gguf");
      try (Checkpoint checkpoint = Checkpoints.open(gguf)) {
        ObjectNode scaling = (ObjectNode) model.config().get("rope_scaling");
        ObjectNode read = (ObjectNode) checkpoint.config().get("rope_scaling");
        assertThat(read.properties()).hasSize(5);
        read.properties()
            .forEach(entry ->
                assertThat(plain(entry.getValue()))
                    .as(entry.getKey())
                    .isEqualTo(plain(scaling.get(entry.getKey()))));
      }
      // Numbers of no formula, told one by one.
      ObjectNode scaling = model.config().putObject("rope_scaling").put("rope_type", "factors");
      ArrayNode factors = scaling.putArray("factors");
      for (double factor : new double[] {1, 3, 2, 8, 7}) {
        factors.add(factor);
      }
      float[] other = logits(model);
      assertThat(distance(other, expected)).isGreaterThan(0.1);
      assertThat(distance(logits(gguf(model, "explicit.gguf")), other))
          .isLessThanOrEqualTo(TOLERANCE);
      model.config().remove("rope_scaling");
      assertThat(distance(logits(model), expected)).isGreaterThan(0.1);
    }
  }

  private static String plain(JsonNode value) {
    return value.asString().replaceAll("\\.0$", "");
  }

  @Test
  void factorsMustFitTheHead() {
    for (List<Double> wrong : List.of(List.of(1.0, 2.0), List.of(1.0, 2.0, 3.0, 4.0, 0.0))) {
      try (RandomModel model = RandomModels.LLAMA_3_ROPE.make()) {
        ArrayNode factors =
            model
                .config()
                .putObject("rope_scaling")
                .put("rope_type", "factors")
                .putArray("factors");
        wrong.forEach(factors::add);
        assertThatThrownBy(() -> logits(model)).hasMessageContaining("a list of 5 positive");
        assertThatThrownBy(() -> gguf(model, Arrays.hashCode(wrong.toArray()) + ".gguf"))
            .hasMessageContaining("factors");
      }
    }
  }
}
