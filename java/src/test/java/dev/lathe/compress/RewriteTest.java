package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds for every technique. */
final class RewriteTest {
  @TempDir Path folder;

  static Stream<Technique> techniques() {
    return Stream.of(
        new QuantizeInt8(true),
        new QuantizeInt8(false),
        new QuantizeKeysAndValues(),
        new MagnitudePrune(0.5, Scope.LAYER),
        new MagnitudePrune(0.5, Scope.GLOBAL, true));
  }

  @ParameterizedTest
  @MethodSource("techniques")
  void theSameInputGivesTheSameOutput(Technique technique) {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.BF16)) {
      Path first = technique.apply(in, folder.resolve("1"), Progress.SILENT).folder();
      Path second = technique.apply(in, folder.resolve("2"), Progress.SILENT).folder();
      assertThat(second.resolve(Checkpoints.WEIGHTS))
          .hasSameBinaryContentAs(first.resolve(Checkpoints.WEIGHTS));
      assertThat(second.resolve(Checkpoints.CONFIG))
          .hasSameBinaryContentAs(first.resolve(Checkpoints.CONFIG));
    }
  }

  @ParameterizedTest
  @MethodSource("techniques")
  void nothingIsLostOrAdded(Technique technique) {
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32);
        Checkpoint out =
            Checkpoints.open(
                technique.apply(in, folder.resolve("out"), Progress.SILENT).folder())) {
      List<String> before = Contents.of(in).stream().map(RewriteTest::name).toList();
      List<String> after = Contents.of(out).stream().map(RewriteTest::name).toList();
      assertThat(after).containsExactlyInAnyOrderElementsOf(before);
    }
  }

  private static String name(Contents.Part part) {
    return switch (part) {
      case Contents.Matrix matrix -> matrix.module();
      case Contents.Other other -> other.tensors().getFirst().name();
    };
  }

  @ParameterizedTest
  @MethodSource("techniques")
  void nothingThatIsNotANumberIsCopied(Technique technique) {
    try (Checkpoint in =
        new TestModel(folder.resolve("model"), 1)
            .values("model.layers.0.mlp.up_proj.weight", 2, 16, new float[32])
            .values("model.odd", 1, 3, 1, Float.NaN, 2)
            .open()) {
      Path out = folder.resolve("out");
      assertThatThrownBy(() -> technique.apply(in, out, Progress.SILENT))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContainingAll("model.odd", "NaN", "row 0, column 1");
      assertThat(out).doesNotExist();
    }
  }

  @ParameterizedTest
  @MethodSource("techniques")
  void progressGoesForwardToTheEnd(Technique technique) {
    Map<String, long[]> last = new LinkedHashMap<>();
    try (Checkpoint in = TestModel.random(folder.resolve("model"), DType.F32)) {
      technique.apply(
          in,
          folder.resolve("out"),
          (what, done, total) -> {
            assertThat(done).isPositive().isLessThanOrEqualTo(total);
            last.put(what, new long[] {done, total});
          });
    }
    assertThat(last).containsKey("writing");
    assertThat(last.containsKey("choosing weights")).isEqualTo(technique instanceof MagnitudePrune);
    assertThat(last.values()).allSatisfy(seen -> assertThat(seen[0]).isEqualTo(seen[1]));
  }
}
