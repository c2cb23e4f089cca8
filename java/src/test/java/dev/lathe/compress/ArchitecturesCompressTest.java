package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.model.RandomModels;
import dev.lathe.tensor.DType;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The techniques know no architecture: what they write of each must load and run. */
class ArchitecturesCompressTest {
  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void quantizedModelsRunAndVectorsStay(RandomModels kind, @TempDir Path folder) {
    RandomCheckpoints.write(kind, folder.resolve("plain"));
    try (Checkpoint plain = Checkpoints.open(folder.resolve("plain"))) {
      new QuantizeInt8(true).apply(plain, folder.resolve("int8"), (_, _, _) -> {});
      try (Checkpoint int8 = Checkpoints.open(folder.resolve("int8"))) {
        assertThat(int8.fileBytes()).isLessThan(plain.fileBytes() / 2);
        plain
            .tensors()
            .forEach((name, info) -> {
              boolean matrix = info.shape().size() == 2;
              DType expected = matrix ? DType.I8 : info.dtype();
              assertThat(int8.tensors().get(name).dtype()).as(name).isEqualTo(expected);
            });
        // Codes are some half a percent of a row's largest weight off; a matrix that is read
        // wrongly
        // (transposed, with another row's scale, without its bias) gives unrelated logits.
        assertThat(
                RandomCheckpoints.cosine(
                    RandomCheckpoints.logits(plain), RandomCheckpoints.logits(int8)))
            .isGreaterThan(0.98);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void prunedModelsRunAndTablesStay(RandomModels kind, @TempDir Path folder) {
    RandomCheckpoints.write(kind, folder.resolve("plain"));
    try (Checkpoint plain = Checkpoints.open(folder.resolve("plain"))) {
      new MagnitudePrune(0.1, Scope.LAYER, false)
          .apply(plain, folder.resolve("pruned"), (_, _, _) -> {});
      try (Checkpoint pruned = Checkpoints.open(folder.resolve("pruned"))) {
        assertThat(pruned.tensors().keySet().stream().filter(n -> n.endsWith(".weight_bitmap")))
            .isNotEmpty()
            .noneMatch(name -> name.matches(".*(embed_tokens|wte|wpe|lm_head).*"));
        assertThat(
                RandomCheckpoints.cosine(
                    RandomCheckpoints.logits(plain), RandomCheckpoints.logits(pruned)))
            .isGreaterThan(0.95);
      }
    }
  }
}
