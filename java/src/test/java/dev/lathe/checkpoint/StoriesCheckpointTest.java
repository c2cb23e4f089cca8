package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.node.ObjectNode;

/** A real model, read and written again as it is and as INT8. */
class StoriesCheckpointTest {
  private static Path model;

  @TempDir Path folder;

  @BeforeAll
  static void find() {
    model = Path.of(System.getProperty("lathe.shared", "shared"), "models/stories260k");
    Assumptions.assumeTrue(Files.isDirectory(model), () -> "skipped: there is no " + model);
  }

  private static long weightBytes(Checkpoint checkpoint) {
    return checkpoint.tensors().values().stream().mapToLong(TensorInfo::bytes).sum();
  }

  @Test
  void aCopyHasTheSameTensors() {
    try (Checkpoint stories = Checkpoints.open(model)) {
      assertThat(stories.tensors()).hasSize(47);
      assertThat(weightBytes(stories)).isEqualTo(1_040_128);
      assertThat(stories.lineage()).isEqualTo(Lineage.NONE);
      CheckpointValidation.requireFinite(stories);
      CheckpointWriter writer =
          CheckpointWriter.create(folder.resolve("copy"))
              .config(stories.config())
              .copyCompanions(stories)
              .lineage(Lineage.NONE.with(new Lineage.Step(stories.hash(), "copy", "test")));
      stories
          .tensors()
          .forEach(
              (name, info) -> writer.group(List.of(info), () -> List.of(stories.tensor(name))));
      writer.write(bytes -> {});
      try (Checkpoint copy = Checkpoints.open(folder.resolve("copy"))) {
        assertThat(copy.tensors()).isEqualTo(stories.tensors());
        for (String name : stories.tensors().keySet()) {
          assertThat(copy.tensor(name).memory().mismatch(stories.tensor(name).memory()))
              .isEqualTo(-1);
        }
        assertThat(copy.config()).isEqualTo(stories.config());
        assertThat(copy.file("tokenizer.json")).isPresent();
        assertThat(copy.file("tokenizer_config.json")).isPresent();
        assertThat(copy.lineage().steps().getFirst().parentHash()).isEqualTo(stories.hash());
      }
    }
  }

  /** Codes of any value will do: what counts here is where they go and how much room they take. */
  private static Weight.Int8 int8(Tensor weights) {
    long rows = weights.size(0);
    long cols = weights.size(1);
    Tensor codes = Tensor.of(Arena.ofAuto().allocate(rows * cols), DType.I8, rows, cols);
    Tensor scales = Tensor.of(Arena.ofAuto().allocate(rows * 2, 8), DType.BF16, rows, 1);
    float[] row = new float[(int) cols];
    for (long r = 0; r < rows; r++) {
      Floats.readRow(weights, r, row);
      float largest = 0;
      for (float w : row) {
        largest = Math.max(largest, Math.abs(w));
      }
      scales.memory().setAtIndex(ValueLayout.JAVA_SHORT, r, Floats.toBf16Up(largest / 127));
      float scale = Floats.get(scales.memory(), DType.BF16, r);
      for (int c = 0; c < cols; c++) {
        byte code = (byte) Math.rint(row[c] / scale);
        codes.memory().set(ValueLayout.JAVA_BYTE, r * cols + c, code);
      }
    }
    return new Weight.Int8(codes, scales, Optional.empty());
  }

  @Test
  void int8TakesAtMost27PercentOfTheFloatingBytes() {
    try (Checkpoint stories = Checkpoints.open(model)) {
      CheckpointWriter writer =
          CheckpointWriter.create(folder.resolve("int8")).config(stories.config());
      stories
          .tensors()
          .forEach((name, info) -> {
            if (info.shape().size() == 2) {
              String module = name.substring(0, name.length() - ".weight".length());
              long rows = info.shape().get(0);
              long cols = info.shape().get(1);
              writer.group(
                  WeightFormat.int8(module, rows, cols, 1, false, DType.BF16),
                  () -> WeightFormat.parts(int8(stories.tensor(name))));
            } else {
              writer.group(List.of(info), () -> List.of(stories.tensor(name)));
            }
          });
      CheckpointWriter.Written written = writer.write(bytes -> {});
      assertThat(written.weightFileBytes())
          .isEqualTo(folder.resolve("int8/model.safetensors").toFile().length())
          .isLessThanOrEqualTo((long) (0.27 * weightBytes(stories)));
      try (Checkpoint int8 = Checkpoints.open(folder.resolve("int8"))) {
        assertThat(int8.tensors()).hasSize(47 + 36);
        Weight.Int8 down = (Weight.Int8) int8.weight("model.layers.4.mlp.down_proj");
        assertThat(down.groupSize()).isEqualTo(172);
        Tensor original = stories.tensor("model.layers.4.mlp.down_proj.weight");
        for (long i = 0; i < 64 * 172; i++) {
          float scale = Floats.get(down.scales().memory(), DType.BF16, i / 172);
          float value = down.values().memory().get(ValueLayout.JAVA_BYTE, i) * scale;
          assertThat(Math.abs(value - Floats.get(original.memory(), DType.F32, i)))
              .isLessThanOrEqualTo(scale * 0.5f * 1.0001f);
        }
        ObjectNode lathe = (ObjectNode) int8.config().get("lathe");
        assertThat(lathe.get("weights").get("int8").intValue()).isEqualTo(36);
      }
    }
  }
}
