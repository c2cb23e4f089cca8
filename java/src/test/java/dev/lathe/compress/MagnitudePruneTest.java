package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class MagnitudePruneTest {
  private static final List<String> LINEAR =
      List.of(
          "model.layers.0.self_attn.q_proj",
          "model.layers.0.mlp.down_proj",
          "model.layers.1.self_attn.q_proj",
          "model.layers.1.mlp.down_proj");

  @TempDir Path folder;

  @Test
  void aMatrixByHand() {
    // Half of eight go; of the four that are 2 the first two stay.
    Path model = folder.resolve("model");
    float[] values = {2, 1, -2, 3, 2, -5, 1, 2};
    try (Checkpoint in = new TestModel(model, 1).values("a.weight", 1, 8, values).open();
        Checkpoint out = pruned(in, new MagnitudePrune(0.5, Scope.LAYER))) {
      Weight.Bitmap weight = (Weight.Bitmap) out.weight("a");
      assertThat(weight.bitmap().memory().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0))
          .isEqualTo((byte) 0b00101101);
      assertThat(TestModel.numbers(weight)[0]).containsExactly(2, 0, -2, 3, 0, -5, 0, 0);
      assertThat(weight.values().elements()).isEqualTo(4);
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {0.1, 0.3333, 0.5, 0.9, 0.9999})
  void eachLayerKeepsExactlyItsShare(double sparsity) throws IOException {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32)) {
      Path folderOut = folder.resolve("out");
      CompressionResult result =
          new MagnitudePrune(sparsity, Scope.LAYER).apply(in, folderOut, Progress.SILENT);
      long parts = 0;
      try (Checkpoint out = Checkpoints.open(folderOut)) {
        for (String module : LINEAR) {
          Weight before = in.weight(module);
          Weight.Bitmap after = (Weight.Bitmap) out.weight(module);
          long weights = before.rows() * before.cols();
          long kept = Math.round((1 - sparsity) * weights);
          assertThat(after.values().elements()).isEqualTo(kept);
          requireLargest(before, after);
          LayerResult layer = TestModel.layer(result, module);
          // 33 and 57 columns are no multiples of 8: the shape is stored too.
          long bytes = before.rows() * Math.ceilDiv(before.cols(), 8L) + 4 * kept + 16;
          assertThat(layer.bytesAfter()).isEqualTo(bytes);
          assertThat(layer.sparsity()).isCloseTo(1 - (double) kept / weights, within(1e-12));
          assertThat(layer.relativeError()).isGreaterThan(0);
          assertThat(layer.note()).isEmpty();
        }
        for (LayerResult layer : result.layers()) {
          parts += layer.bytesAfter();
          if (!LINEAR.contains(layer.name())) {
            assertThat(layer.note()).isEqualTo("embedding and head are not pruned");
            assertThat(layer.bytesAfter()).isEqualTo(40 * 33 * 4);
          }
        }
      }
      parts += 4 * (33 + 24 + 24 + 60);
      assertThat(TestModel.tensorBytes(folderOut)).isEqualTo(parts);
      assertThat(result.bytes()).isEqualTo(Files.size(folderOut.resolve(Checkpoints.WEIGHTS)));
    }
  }

  /** What stays is unchanged, and nothing that went was larger. */
  private static void requireLargest(Weight before, Weight after) {
    double[][] old = TestModel.numbers(before);
    double[][] now = TestModel.numbers(after);
    double smallestKept = Double.POSITIVE_INFINITY;
    double largestGone = 0;
    for (int r = 0; r < old.length; r++) {
      for (int c = 0; c < old[r].length; c++) {
        if (now[r][c] == 0) {
          largestGone = Math.max(largestGone, Math.abs(old[r][c]));
        } else {
          assertThat(now[r][c]).isEqualTo(old[r][c]);
          smallestKept = Math.min(smallestKept, Math.abs(old[r][c]));
        }
      }
    }
    assertThat(largestGone).isLessThanOrEqualTo(smallestKept);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aGlobalThresholdIsThatOfASort(boolean embeddingAndHead) {
    // F16 numbers make ties at the threshold probable.
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F16);
        Checkpoint out = pruned(in, new MagnitudePrune(0.6, Scope.GLOBAL, embeddingAndHead))) {
      List<String> modules = new ArrayList<>(LINEAR);
      if (embeddingAndHead) {
        modules.addFirst("model.embed_tokens");
        modules.addLast("lm_head");
      }
      List<Double> all = new ArrayList<>();
      for (String module : modules) {
        for (double[] row : TestModel.numbers(in.weight(module))) {
          for (double weight : row) {
            all.add(weight);
          }
        }
      }
      List<Double> sorted =
          all.stream().map(Math::abs).sorted((a, b) -> Double.compare(b, a)).toList();
      int kept = (int) Math.round(0.4 * all.size());
      double threshold = sorted.get(kept - 1);
      long equal = kept - sorted.stream().filter(w -> w > threshold).count();
      List<Double> expected = new ArrayList<>();
      for (double weight : all) {
        boolean stays =
            Math.abs(weight) > threshold || (Math.abs(weight) == threshold && equal-- > 0);
        expected.add(stays ? weight : 0);
      }
      List<Double> actual = new ArrayList<>();
      Map<String, Double> sparsity = new HashMap<>();
      for (String module : modules) {
        Weight.Bitmap weight = (Weight.Bitmap) out.weight(module);
        double weights = (double) weight.rows() * weight.cols();
        sparsity.put(module, 1 - weight.values().elements() / weights);
        for (double[] row : TestModel.numbers(weight)) {
          for (double number : row) {
            actual.add(number);
          }
        }
      }
      assertThat(actual).isEqualTo(expected);
      // One threshold, not one share: the matrix of the smallest weights loses the most.
      assertThat(sparsity.get("model.layers.0.self_attn.q_proj"))
          .isGreaterThan(sparsity.get("model.layers.1.mlp.down_proj") + 0.2);
    }
  }

  @Test
  void tiesAcrossMatricesGoToTheFirst() {
    Path model = folder.resolve("model");
    try (Checkpoint in =
            new TestModel(model, 1)
                .values("b.weight", 1, 8, 1, 1, 1, 1, 1, 1, 1, 1)
                .values("a.weight", 1, 8, 1, 1, 1, 1, 1, 1, 1, 9)
                .open();
        Checkpoint out = pruned(in, new MagnitudePrune(0.5, Scope.GLOBAL))) {
      // Eight stay: the 9, and the first seven of the file's order.
      double[] b = TestModel.numbers(out.weight("b"))[0];
      double[] a = TestModel.numbers(out.weight("a"))[0];
      assertThat(b).containsExactly(1, 1, 1, 1, 1, 1, 1, 0);
      assertThat(a).containsExactly(0, 0, 0, 0, 0, 0, 0, 9);
    }
  }

  @Test
  void zerosAreNotKept() {
    Path model = folder.resolve("model");
    float[] values = new float[64];
    values[3] = 4;
    try (Checkpoint in = new TestModel(model, 1).values("a.weight", 8, 8, values).open();
        Checkpoint out = pruned(in, new MagnitudePrune(0.5, Scope.LAYER))) {
      assertThat(((Weight.Bitmap) out.weight("a")).values().elements()).isEqualTo(1);
    }
    try (Checkpoint in =
            new TestModel(folder.resolve("zeros"), 1)
                .values("a.weight", 8, 8, new float[64])
                .open();
        Checkpoint out = pruned(in, new MagnitudePrune(0.5, Scope.GLOBAL))) {
      assertThat(((Weight.Bitmap) out.weight("a")).values().elements()).isZero();
      assertThat(TestModel.numbers(out.weight("a"))).isDeepEqualTo(new double[8][8]);
    }
  }

  @Test
  void whatWouldNotShrinkStays() {
    // At 3 % a bitmap costs 1 bit of 32 and saves 0.96.
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32)) {
      Path folderOut = folder.resolve("out");
      CompressionResult result =
          new MagnitudePrune(0.03, Scope.LAYER).apply(in, folderOut, Progress.SILENT);
      LayerResult layer = TestModel.layer(result, "model.layers.0.mlp.down_proj");
      assertThat(layer.note()).matches("would take [0-9,]+ bytes instead of 7,524");
      assertThat(layer.format()).isEqualTo("f32");
      assertThat(layer.sparsity()).isZero();
      assertThat(layer.relativeError()).isZero();
      try (Checkpoint out = Checkpoints.open(folderOut)) {
        assertThat(TestModel.numbers(out.weight(layer.name())))
            .isDeepEqualTo(TestModel.numbers(in.weight(layer.name())));
      }
    }
  }

  @Test
  void groupsCannotBePruned() {
    Tensor codes = Tensor.of(Arena.ofAuto().allocate(16), DType.I8, 2, 8);
    Tensor scales = Tensor.of(Arena.ofAuto().allocate(16, 4), DType.F32, 2, 2);
    Path model = folder.resolve("model");
    try (Checkpoint in =
        new TestModel(model, 1)
            .weight("a", new Weight.Int8(codes, scales, Optional.empty()))
            .open()) {
      assertThatThrownBy(() -> pruned(in, new MagnitudePrune(0.5, Scope.LAYER)))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("a is INT8 with 2 scales a row");
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 1, -0.5, Double.NaN})
  void sparsityIsAShare(double sparsity) {
    assertThatThrownBy(() -> new MagnitudePrune(sparsity, Scope.LAYER))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void namesSayThePercentage() {
    assertThat(new MagnitudePrune(0.07, Scope.LAYER).name()).isEqualTo("prune 7 %");
    assertThat(new MagnitudePrune(0.125, Scope.GLOBAL).name()).isEqualTo("prune 12.5 % global");
  }

  private Checkpoint pruned(Checkpoint in, MagnitudePrune technique) {
    Path out = folder.resolve("pruned of " + in.path().getFileName());
    return Checkpoints.open(technique.apply(in, out, Progress.SILENT).folder());
  }
}
