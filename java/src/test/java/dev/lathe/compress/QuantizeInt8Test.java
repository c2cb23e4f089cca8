package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Weight;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class QuantizeInt8Test {
  @TempDir Path folder;

  @Test
  void aMatrixByHand() {
    // The first row has scale 1, the second 2, the third is zero.
    Path model = folder.resolve("model");
    Path out = folder.resolve("out");
    try (Checkpoint in =
            new TestModel(model, 1)
                .values("a.weight", 3, 3, 127, -0.5f, 1.5f, -254, 3, 5, 0, 0, 0)
                .open();
        Checkpoint quantized = open(new QuantizeInt8(true).apply(in, out, Progress.SILENT))) {
      Weight.Int8 weight = (Weight.Int8) quantized.weight("a");
      assertThat(weight.values().memory().toArray(ValueLayout.JAVA_BYTE))
          .containsExactly(127, 0, 2, -127, 2, 2, 0, 0, 0);
      assertThat(weight.scales().dtype()).isEqualTo(DType.BF16);
      for (int row = 0; row < 3; row++) {
        assertThat(Floats.get(weight.scales().memory(), DType.BF16, row))
            .isEqualTo(new float[] {1, 2, 1}[row]);
      }
      assertThat(weight.zeroPoints()).isEmpty();
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F16", "BF16"})
  void everyMatrixAndNothingElse(DType dtype) throws IOException {
    for (boolean symmetric : new boolean[] {true, false}) {
      Path model = folder.resolve("model" + symmetric);
      Path out = folder.resolve("out" + symmetric);
      try (Checkpoint in = TestModel.random(model, dtype)) {
        CompressionResult result = new QuantizeInt8(symmetric).apply(in, out, Progress.SILENT);
        assertThat(result.folder()).isEqualTo(out);
        assertThat(result.bytes()).isEqualTo(Files.size(out.resolve(Checkpoints.WEIGHTS)));
        assertThat(result.layers()).hasSize(6);
        try (Checkpoint quantized = Checkpoints.open(out)) {
          long parts = 0;
          for (LayerResult layer : result.layers()) {
            Weight before = in.weight(layer.name());
            Weight after = quantized.weight(layer.name());
            requireHalfAScale(before, (Weight.Int8) after);
            long weights = before.rows() * before.cols();
            long perRow = symmetric ? 2 : 3;
            assertThat(layer.bytesBefore()).isEqualTo(weights * dtype.bytes());
            assertThat(layer.bytesAfter()).isEqualTo(weights + perRow * before.rows());
            assertThat(layer.bytesAfter()).isEqualTo(after.bytes());
            assertThat(layer.format()).isEqualTo(symmetric ? "int8" : "int8-asymmetric");
            assertThat(layer.relativeError())
                .isCloseTo(error(before, after), within(1e-12))
                .isGreaterThan(0);
            assertThat(layer.sparsity()).isZero();
            parts += layer.bytesAfter();
          }
          for (String name :
              List.of(
                  "model.layers.0.input_layernorm.weight",
                  "model.layers.1.self_attn.q_proj.bias",
                  "model.something")) {
            assertThat(quantized.tensor(name).dtype()).isEqualTo(dtype);
            assertThat(quantized.tensor(name).memory().mismatch(in.tensor(name).memory()))
                .isEqualTo(-1);
            parts += in.tensor(name).bytes();
          }
          parts += in.tensor("model.layers.0.self_attn.q_proj.bias").bytes();
          assertThat(TestModel.tensorBytes(out)).isEqualTo(parts);
          assertThat(quantized.lineage())
              .isEqualTo(
                  new Lineage(
                      List.of(
                          new Lineage.Step(
                              in.hash(),
                              "quantize w8a16 rtn per-channel "
                                  + (symmetric ? "symmetric" : "asymmetric"),
                              quantized.lineage().steps().getFirst().tool()))));
        }
      }
    }
  }

  private static void requireHalfAScale(Weight before, Weight.Int8 after) {
    double[][] old = TestModel.numbers(before);
    double[][] now = TestModel.numbers(after);
    for (int r = 0; r < old.length; r++) {
      double half = Floats.get(after.scales().memory(), DType.BF16, r) / 2.0;
      for (int c = 0; c < old[r].length; c++) {
        assertThat(Math.abs(old[r][c] - now[r][c])).isLessThanOrEqualTo(half);
      }
    }
  }

  private static double error(Weight before, Weight after) {
    double[][] old = TestModel.numbers(before);
    double[][] now = TestModel.numbers(after);
    double difference = 0;
    double norm = 0;
    for (int r = 0; r < old.length; r++) {
      for (int c = 0; c < old[r].length; c++) {
        difference += Math.pow(old[r][c] - now[r][c], 2);
        norm += Math.pow(old[r][c], 2);
      }
    }
    return Math.sqrt(difference) / Math.sqrt(norm);
  }

  @Test
  void whatIsInt8AlreadyStays() {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32);
        Checkpoint once =
            open(new QuantizeInt8(true).apply(in, folder.resolve("1"), Progress.SILENT))) {
      CompressionResult again =
          new QuantizeInt8(false).apply(once, folder.resolve("2"), Progress.SILENT);
      assertThat(again.layers())
          .allSatisfy(layer -> {
            assertThat(layer.note()).isEqualTo("is INT8 already");
            assertThat(layer.format()).isEqualTo("int8");
            assertThat(layer.bytesAfter()).isEqualTo(layer.bytesBefore());
            assertThat(layer.relativeError()).isZero();
          });
      try (Checkpoint twice = Checkpoints.open(folder.resolve("2"))) {
        assertThat(twice.lineage().steps()).hasSize(2);
        assertThat(twice.lineage().steps().get(1).parentHash()).isEqualTo(once.hash());
      }
    }
  }

  @Test
  void notANumberIsRefusedWithItsPlace() {
    float[] values = new float[6];
    values[5] = Float.NaN;
    refuses(values, "tensor a.weight is NaN at row 1, column 2");
    values[5] = Float.NEGATIVE_INFINITY;
    refuses(values, "tensor a.weight is infinite at row 1, column 2");
  }

  private void refuses(float[] values, String message) {
    Path model = folder.resolve("model" + values[5]);
    Path out = folder.resolve("out");
    try (Checkpoint in = new TestModel(model, 1).values("a.weight", 2, 3, values).open()) {
      for (Technique technique :
          List.of(
              new QuantizeInt8(true),
              new MagnitudePrune(0.9, Scope.LAYER),
              new MagnitudePrune(0.9, Scope.GLOBAL))) {
        assertThatThrownBy(() -> technique.apply(in, out, Progress.SILENT))
            .isInstanceOf(InvalidInputException.class)
            .hasMessageContaining(model.toString())
            .hasMessageContaining(message);
        assertThat(out).doesNotExist();
      }
    }
  }

  @Test
  void anOutputThatExistsIsRefused() throws IOException {
    Files.createDirectory(folder.resolve("out"));
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32)) {
      assertThatThrownBy(
              () -> new QuantizeInt8(true).apply(in, folder.resolve("out"), Progress.SILENT))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining(folder.resolve("out").toString());
    }
  }

  private static Checkpoint open(CompressionResult result) {
    return Checkpoints.open(result.folder());
  }
}
