package dev.lathe.compress;

import dev.lathe.backend.Backend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
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

/** Small random models of each architecture on disk, and what they compute. */
final class RandomCheckpoints {
  private static final int[] TOKENS =
      new SplittableRandom(8).ints(40, 0, RandomModels.VOCABULARY).toArray();

  private RandomCheckpoints() {}

  static void write(RandomModels kind, Path folder) {
    try (RandomModel model = kind.make()) {
      CheckpointWriter writer = CheckpointWriter.create(folder).config(model.config());
      for (Map.Entry<String, TensorInfo> entry : model.tensors().entrySet()) {
        writer.group(List.of(entry.getValue()), () -> List.of(model.tensor(entry.getKey())));
      }
      writer.write(_ -> {});
    }
  }

  static float[] logits(Checkpoint checkpoint) {
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

  static double cosine(float[] a, float[] b) {
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
