package dev.lathe.compress;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.checkpoint.WeightFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import tools.jackson.databind.node.JsonNodeFactory;

/** Small checkpoints on disk, of given or random weights. */
final class TestModel {
  private final CheckpointWriter writer;
  private final Path folder;
  private final Random random;

  TestModel(Path folder, long seed) {
    this.folder = folder;
    this.random = new Random(seed);
    this.writer =
        CheckpointWriter.create(folder)
            .config(JsonNodeFactory.instance.objectNode().put("model_type", "llama"));
  }

  /** Two layers of odd sizes, an embedding, norms, a bias, and a tensor that nobody knows. */
  static Checkpoint random(Path folder, DType dtype) {
    TestModel model =
        new TestModel(folder, 11)
            .normal("model.embed_tokens.weight", dtype, 0.5, 40, 33)
            .normal("model.layers.0.input_layernorm.weight", dtype, 1, 33);
    for (int layer = 0; layer < 2; layer++) {
      String prefix = "model.layers." + layer;
      // The deviations differ, so that a global threshold takes more from some than from others.
      model
          .normal(prefix + ".self_attn.q_proj.weight", dtype, 0.1 * (layer + 1), 24, 33)
          .normal(prefix + ".self_attn.q_proj.bias", dtype, 1, 24)
          .normal(prefix + ".mlp.down_proj.weight", dtype, 0.3 * (layer + 1), 33, 57);
    }
    return model
        .normal("model.something", dtype, 1, 3, 4, 5)
        .normal("lm_head.weight", dtype, 0.2, 40, 33)
        .open();
  }

  TestModel normal(String name, DType dtype, double deviation, long... shape) {
    return tensor(name, dtype, () -> (float) (deviation * random.nextGaussian()), shape);
  }

  TestModel values(String name, long rows, long cols, float... values) {
    int[] next = {0};
    return tensor(name, DType.F32, () -> values[next[0]++], rows, cols);
  }

  private interface Floating {
    float next();
  }

  private TestModel tensor(String name, DType dtype, Floating values, long... shape) {
    Tensor tensor =
        Tensor.of(Arena.ofAuto().allocate(Tensor.elements(shape) * dtype.bytes(), 8), dtype, shape);
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), dtype, i, values.next());
    }
    writer.group(List.of(TensorInfo.of(name, dtype, shape)), () -> List.of(tensor));
    return this;
  }

  TestModel weight(String module, Weight weight) {
    writer.group(WeightFormat.infos(module, weight), () -> WeightFormat.parts(weight));
    return this;
  }

  Checkpoint open() {
    writer.write(_ -> {});
    return Checkpoints.open(folder);
  }

  /** A matrix as numbers. */
  static double[][] numbers(Weight weight) {
    double[][] numbers = new double[(int) weight.rows()][(int) weight.cols()];
    for (int r = 0; r < numbers.length; r++) {
      WeightRows.read(weight, r, numbers[r]);
    }
    return numbers;
  }

  /** The size of a safetensors file but for its header: 8 bytes of length, and that many. */
  static long tensorBytes(Path folder) throws IOException {
    Path file = folder.resolve(Checkpoints.WEIGHTS);
    ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
    try (SeekableByteChannel channel = Files.newByteChannel(file)) {
      while (length.hasRemaining()) {
        channel.read(length);
      }
    }
    return Files.size(file) - 8 - length.getLong(0);
  }

  static LayerResult layer(CompressionResult result, String name) {
    return result.layers().stream()
        .filter(layer -> layer.name().equals(name))
        .findFirst()
        .orElseThrow();
  }
}
