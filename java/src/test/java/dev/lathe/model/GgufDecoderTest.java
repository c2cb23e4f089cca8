package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Backend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Conversion;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** A model of each architecture as a GGUF file, and as a folder again, computes the same. */
class GgufDecoderTest {
  /** Of the largest logit: angles and norms may differ in the last bit of F32. */
  private static final double TOLERANCE = 1e-6;

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
  @EnumSource(
      value = RandomModels.class,
      names = {"LLAMA_BIASED", "LLAMA_3_ROPE", "QWEN2", "QWEN3"})
  void thereAndBackTheLogitsAreTheSame(RandomModels kind) {
    try (RandomModel model = kind.make()) {
      float[] expected = logits(model);
      Path gguf = gguf(model, "model.gguf");
      assertThat(distance(logits(gguf), expected)).isLessThanOrEqualTo(TOLERANCE);
      assertThat(distance(logits(folder(gguf)), expected)).isLessThanOrEqualTo(TOLERANCE);
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
      // The same numbers, told one by one.
      ObjectNode scaling = model.config().putObject("rope_scaling").put("rope_type", "factors");
      ArrayNode factors = scaling.putArray("factors");
      for (double factor : new double[] {1, 1.909, 7.87, 8, 8}) {
        factors.add(factor);
      }
      float[] near = logits(model);
      assertThat(distance(near, expected)).isBetween(TOLERANCE, 0.1);
      assertThat(distance(logits(gguf(model, "explicit.gguf")), near))
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
