package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class SyntheticCheckpointTest {
  @ParameterizedTest
  @CsvSource({
    "synthetic:llama-3.2-1b, 2, 1235814400",
    "synthetic:llama-3.1-8b:bf16, 2, 8030261248",
    "synthetic:tinyllama-1.1b:f32, 4, 1100048384",
  })
  void hasTheParametersOfThePublicModel(String name, int bytesPerWeight, long parameters) {
    try (Checkpoint checkpoint = Checkpoints.open(Path.of(name))) {
      long elements = checkpoint.tensors().values().stream().mapToLong(TensorInfo::elements).sum();
      long norms =
          checkpoint.tensors().values().stream()
              .filter(info -> info.shape().size() == 1)
              .mapToLong(TensorInfo::elements)
              .sum();
      assertThat(elements).isEqualTo(parameters);
      assertThat(checkpoint.fileBytes()).isEqualTo((elements - norms) * bytesPerWeight + 4 * norms);
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
        .hasMessageContaining("llama-3.2-1b");
    assertThatThrownBy(() -> Checkpoints.open(Path.of("synthetic:llama-3.2-1b:int4")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("bf16, f32, int8");
  }
}
