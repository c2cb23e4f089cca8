package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Weight;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Pruning and quantizing, in either order. */
final class PruneAndQuantizeTest {
  private static final String MODULE = "model.layers.1.mlp.down_proj";

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({"true, LAYER", "false, LAYER", "true, GLOBAL", "false, GLOBAL"})
  void pruneThenQuantize(boolean symmetric, Scope scope) {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32);
        Checkpoint pruned = apply(new MagnitudePrune(0.5, scope), in, "1");
        Checkpoint both = apply(new QuantizeInt8(symmetric), pruned, "2")) {
      Weight.Bitmap before = (Weight.Bitmap) pruned.weight(MODULE);
      Weight.Bitmap after = (Weight.Bitmap) both.weight(MODULE);
      assertThat(after.format()).isEqualTo("bitmap(int8)");
      assertThat(after.zeroPoints().isPresent()).isEqualTo(!symmetric);
      assertThat(after.bitmap().memory().mismatch(before.bitmap().memory())).isEqualTo(-1);
      double[][] old = TestModel.numbers(before);
      double[][] now = TestModel.numbers(after);
      for (int r = 0; r < old.length; r++) {
        double half = Floats.get(after.scales().orElseThrow().memory(), DType.BF16, r) / 2.0;
        for (int c = 0; c < old[r].length; c++) {
          double allowed = old[r][c] == 0 ? 0 : half;
          assertThat(Math.abs(old[r][c] - now[r][c])).isLessThanOrEqualTo(allowed);
        }
      }
      assertThat(both.weight("lm_head").format()).startsWith("int8");
      assertThat(both.lineage().steps()).hasSize(2);
    }
  }

  @ParameterizedTest
  @CsvSource({"true, LAYER", "false, LAYER", "true, GLOBAL", "false, GLOBAL"})
  void quantizeThenPrune(boolean symmetric, Scope scope) {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32);
        Checkpoint quantized = apply(new QuantizeInt8(symmetric), in, "1");
        Checkpoint both = apply(new MagnitudePrune(0.5, scope), quantized, "2")) {
      Weight.Int8 before = (Weight.Int8) quantized.weight(MODULE);
      Weight.Bitmap after = (Weight.Bitmap) both.weight(MODULE);
      assertThat(after.format()).isEqualTo("bitmap(int8)");
      if (scope == Scope.LAYER) {
        long weights = before.rows() * before.cols();
        assertThat(after.values().elements()).isEqualTo(Math.round(weights / 2.0));
      }
      // The codes that stay stand for what they stood for, bit for bit.
      double[][] old = TestModel.numbers(before);
      double[][] now = TestModel.numbers(after);
      double smallestKept = Double.POSITIVE_INFINITY;
      double largestGone = 0;
      for (int r = 0; r < old.length; r++) {
        for (int c = 0; c < old[r].length; c++) {
          if (now[r][c] != 0) {
            assertThat(now[r][c]).isEqualTo(old[r][c]);
            smallestKept = Math.min(smallestKept, Math.abs(old[r][c]));
          } else {
            largestGone = Math.max(largestGone, Math.abs(old[r][c]));
          }
        }
      }
      assertThat(largestGone).isLessThanOrEqualTo(smallestKept);
    }
  }

  @Test
  void pruningFurtherTakesFromWhatIsLeft() {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32);
        Checkpoint half = apply(new MagnitudePrune(0.5, Scope.LAYER), in, "1");
        Checkpoint most = apply(new MagnitudePrune(0.8, Scope.LAYER), half, "2");
        Checkpoint atOnce = apply(new MagnitudePrune(0.8, Scope.LAYER), in, "3")) {
      assertThat(TestModel.numbers(most.weight(MODULE)))
          .isDeepEqualTo(TestModel.numbers(atOnce.weight(MODULE)));
      CompressionResult less =
          new MagnitudePrune(0.3, Scope.LAYER).apply(most, folder.resolve("4"), Progress.SILENT);
      LayerResult layer = TestModel.layer(less, MODULE);
      assertThat(layer.note()).startsWith("would take");
      assertThat(layer.sparsity()).isBetween(0.79, 0.81);
    }
  }

  private Checkpoint apply(Technique technique, Checkpoint in, String name) {
    return Checkpoints.open(technique.apply(in, folder.resolve(name), Progress.SILENT).folder());
  }
}
