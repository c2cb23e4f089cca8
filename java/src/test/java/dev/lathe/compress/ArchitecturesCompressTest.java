package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Backend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.model.Decoder;
import dev.lathe.model.RandomModel;
import dev.lathe.model.RandomModels;
import dev.lathe.model.Scoring;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The techniques know no architecture: what they write of each must load and run. */
class ArchitecturesCompressTest {
  private static final int[] TOKENS =
      new SplittableRandom(8).ints(40, 0, RandomModels.VOCABULARY).toArray();

  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void quantizedModelsRunAndVectorsStay(RandomModels kind, @TempDir Path folder) {
    write(kind, folder.resolve("plain"));
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
        assertThat(cosine(logits(plain), logits(int8))).isGreaterThan(0.98);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void prunedModelsRunAndTablesStay(RandomModels kind, @TempDir Path folder) {
    write(kind, folder.resolve("plain"));
    try (Checkpoint plain = Checkpoints.open(folder.resolve("plain"))) {
      new MagnitudePrune(0.1, Scope.LAYER, false)
          .apply(plain, folder.resolve("pruned"), (_, _, _) -> {});
      try (Checkpoint pruned = Checkpoints.open(folder.resolve("pruned"))) {
        assertThat(pruned.tensors().keySet().stream().filter(n -> n.endsWith(".weight_bitmap")))
            .isNotEmpty()
            .noneMatch(name -> name.matches(".*(embed_tokens|wte|wpe|lm_head).*"));
        assertThat(cosine(logits(plain), logits(pruned))).isGreaterThan(0.95);
      }
    }
  }

  private static void write(RandomModels kind, Path folder) {
    try (RandomModel model = kind.make()) {
      CheckpointWriter writer = CheckpointWriter.create(folder).config(model.config());
      for (Map.Entry<String, TensorInfo> entry : model.tensors().entrySet()) {
        writer.group(List.of(entry.getValue()), () -> List.of(model.tensor(entry.getKey())));
      }
      writer.write(_ -> {});
    }
  }

  private static float[] logits(Checkpoint checkpoint) {
    float[] all = new float[TOKENS.length * RandomModels.VOCABULARY];
    try (Backend backend = new ReferenceBackend();
        Decoder decoder = Decoder.load(checkpoint, backend)) {
      Scoring.score(
          decoder,
          List.of(TOKENS),
          (_, first, logits) -> {
            Tensor flat = logits.reshape(logits.elements());
            for (int i = 0; i < flat.elements(); i++) {
              all[first * RandomModels.VOCABULARY + i] = Floats.get(flat.memory(), DType.F32, i);
            }
          });
    }
    return all;
  }

  private static double cosine(float[] a, float[] b) {
    double product = 0;
    double left = 0;
    double right = 0;
    for (int i = 0; i < a.length; i++) {
      product += (double) a[i] * b[i];
      left += (double) a[i] * a[i];
      right += (double) b[i] * b[i];
    }
    return product / Math.sqrt(left * right);
  }
}
