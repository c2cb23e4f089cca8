package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Conversion;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.RandomModels;
import dev.lathe.tensor.ActivationFormat;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** W8A8: which matrices get INT8 activations, how long they keep them, and that they are used. */
final class QuantizeW8A8Test {
  private static final QuantizeInt8 W8A8 = QuantizeInt8.withActivations();
  private static final QuantizeInt8 W8A16 = new QuantizeInt8(true);

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.MATCH_NONE, names = "GPT2.*", value = RandomModels.class)
  void linearLayersGetItAndTheirCodesAreW8A16s(RandomModels kind) {
    try (Checkpoint plain = write(kind, "plain");
        Checkpoint a16 = apply(W8A16, plain, "a16");
        Checkpoint a8 = apply(W8A8, plain, "a8");
        Checkpoint inTwoSteps = apply(W8A8, a16, "two")) {
      assertThat(a8.tensors()).isEqualTo(a16.tensors());
      for (String name : a16.tensors().keySet()) {
        assertThat(a8.tensor(name).memory().mismatch(a16.tensor(name).memory())).isEqualTo(-1);
        assertThat(inTwoSteps.tensor(name).memory().mismatch(a16.tensor(name).memory()))
            .isEqualTo(-1);
      }
      for (Contents.Matrix matrix : Contents.matrices(a8)) {
        String expected = matrix.isEmbeddingOrHead() ? "int8" : "w8a8";
        assertThat(a8.weight(matrix.module()).format()).as(matrix.module()).isEqualTo(expected);
        assertThat(inTwoSteps.weight(matrix.module()).format()).isEqualTo(expected);
        assertThat(a16.weight(matrix.module()).format()).isEqualTo("int8");
      }
      // It is used, and it is near.
      float[] sixteen = RandomCheckpoints.logits(a16);
      float[] eight = RandomCheckpoints.logits(a8);
      assertThat(eight).isNotEqualTo(sixteen);
      assertThat(RandomCheckpoints.logits(inTwoSteps)).isEqualTo(eight);
      assertThat(RandomCheckpoints.cosine(sixteen, eight)).isGreaterThan(0.98);
    }
  }

  @Test
  void resultsAndLineageSaySo() {
    try (Checkpoint plain = write(RandomModels.LLAMA_BIASED, "plain");
        Checkpoint a16 = apply(W8A16, plain, "a16")) {
      CompressionResult result = W8A8.apply(a16, folder.resolve("a8"), Progress.SILENT);
      assertThat(result.layers())
          .filteredOn(layer -> layer.format().equals("w8a8"))
          .isNotEmpty()
          .allSatisfy(layer -> {
            assertThat(layer.note()).isEqualTo("the same weights, activations as INT8");
            assertThat(layer.relativeError()).isZero();
            assertThat(layer.bytesAfter()).isEqualTo(layer.bytesBefore());
          });
      assertThat(result.layers())
          .filteredOn(layer -> !layer.format().equals("w8a8"))
          .isNotEmpty()
          .allSatisfy(layer -> assertThat(layer.note()).isEqualTo("is INT8 already"));
      try (Checkpoint a8 = Checkpoints.open(folder.resolve("a8"))) {
        assertThat(a8.lineage().steps().getLast().technique())
            .isEqualTo("quantize w8a8 rtn per-channel symmetric, activations per token");
        assertThat(a8.hash()).isNotEqualTo(a16.hash());
      }
    }
  }

  @Test
  void itStaysAsLongAsTheMatrixIsInt8() {
    try (Checkpoint plain = write(RandomModels.LLAMA_BIASED, "plain");
        Checkpoint a8 = apply(W8A8, plain, "a8")) {
      String module =
          Contents.matrices(a8).stream()
              .map(Contents.Matrix::module)
              .filter(name -> name.endsWith("down_proj"))
              .findFirst()
              .orElseThrow();
      // A technique that leaves it alone, and a conversion.
      try (Checkpoint again = apply(new QuantizeInt8(false), a8, "again")) {
        assertThat(again.weight(module).format()).isEqualTo("w8a8");
      }
      Conversion.toSafetensors(a8, folder.resolve("copy"), Optional.empty(), "test", _ -> {});
      try (Checkpoint copy = Checkpoints.open(folder.resolve("copy"))) {
        assertThat(copy.weight(module).format()).isEqualTo("w8a8");
      }
      Conversion.Result gguf =
          Conversion.toGguf(
              a8, folder.resolve("a.gguf"), Optional.of(Conversion.Type.F32), "test", _ -> {});
      assertThat(gguf.notes()).anyMatch(note -> note.contains("activations"));
      // Pruned it is a bitmap, which is multiplied by activations as they are.
      try (Checkpoint pruned = apply(new MagnitudePrune(0.6, Scope.LAYER), a8, "pruned")) {
        assertThat(pruned.weight(module).format()).isEqualTo("bitmap(int8)");
        assertThat(W8A8.refusal(pruned))
            .hasValueSatisfying(why -> assertThat(why).contains("W8A8"));
      }
      // What was trained as floats gets it back.
      RestoreInt8 restore = new RestoreInt8(a8);
      try (Checkpoint restored = apply(restore, plain, "restored")) {
        for (Contents.Matrix matrix : Contents.matrices(a8)) {
          assertThat(restored.weight(matrix.module()).format())
              .isEqualTo(a8.weight(matrix.module()).format());
        }
      }
    }
  }

  @Test
  void whatCannotTakeItIsRefused() {
    try (Checkpoint plain = write(RandomModels.GPT2, "plain")) {
      assertThatThrownBy(() -> W8A8.apply(plain, folder.resolve("a8"), Progress.SILENT))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("stores its matrices [inputs, outputs]: w8a16 works");
      assertThat(folder.resolve("a8")).doesNotExist();
    }
    try (Checkpoint plain = write(RandomModels.LLAMA_BIASED, "llama");
        Checkpoint asymmetric = apply(new QuantizeInt8(false), plain, "asymmetric")) {
      assertThat(W8A8.refusal(plain)).isEmpty();
      assertThat(W8A8.refusal(asymmetric)).isPresent();
      try (Checkpoint a8 = apply(W8A8, plain, "done")) {
        assertThat(W8A8.refusal(a8)).isPresent();
      }
    }
    assertThatThrownBy(() -> new QuantizeInt8(false, ActivationFormat.INT8))
        .isInstanceOf(IllegalArgumentException.class);
  }

  private Checkpoint apply(Technique technique, Checkpoint in, String name) {
    return Checkpoints.open(technique.apply(in, folder.resolve(name), Progress.SILENT).folder());
  }

  private Checkpoint write(RandomModels kind, String name) {
    RandomCheckpoints.write(kind, folder.resolve(name));
    return Checkpoints.open(folder.resolve(name));
  }
}
