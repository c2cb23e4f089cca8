package dev.lathe.model;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Linear;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.ArrayList;
import java.util.List;

/**
 * Finds a decoder's weights in a checkpoint by their Hugging Face names, and checks every shape.
 */
final class DecoderLoader {
  private final Checkpoint checkpoint;
  private final ModelConfig config;
  private final Backend backend;
  private final DeviceMemory memory;

  /** Bytes of what was placed, the tied matrix once. */
  private long bytes;

  DecoderLoader(Checkpoint checkpoint, ModelConfig config, Backend backend, DeviceMemory memory) {
    this.checkpoint = checkpoint;
    this.config = config;
    this.backend = backend;
    this.memory = memory;
  }

  DecoderWeights load() {
    int hidden = config.hidden();
    int queries = config.heads() * config.headDim();
    int keys = config.kvHeads() * config.headDim();
    int intermediate = config.intermediate();

    Weight embedding = place(matrix("model.embed_tokens", config.vocabulary(), hidden));
    List<DecoderWeights.Layer> layers = new ArrayList<>();
    for (int i = 0; i < config.layers(); i++) {
      String layer = "model.layers." + i + ".";
      layers.add(
          new DecoderWeights.Layer(
              i,
              vector(layer + "input_layernorm.weight", hidden),
              linear(
                  matrix(layer + "self_attn.q_proj", queries, hidden),
                  matrix(layer + "self_attn.k_proj", keys, hidden),
                  matrix(layer + "self_attn.v_proj", keys, hidden)),
              linear(matrix(layer + "self_attn.o_proj", hidden, queries)),
              vector(layer + "post_attention_layernorm.weight", hidden),
              linear(
                  matrix(layer + "mlp.gate_proj", intermediate, hidden),
                  matrix(layer + "mlp.up_proj", intermediate, hidden)),
              linear(matrix(layer + "mlp.down_proj", hidden, intermediate))));
    }
    Tensor finalNorm = vector("model.norm.weight", hidden);
    Linear head =
        config.tiedEmbedding() && !checkpoint.hasWeight("lm_head")
            ? Linear.of(embedding)
            : linear(matrix("lm_head", config.vocabulary(), hidden));
    return new DecoderWeights(embedding, layers, finalNorm, head);
  }

  long bytes() {
    return bytes;
  }

  private Weight matrix(String module, long rows, long cols) {
    Weight weight = checkpoint.weight(module);
    if (weight.rows() != rows || weight.cols() != cols) {
      throw new InvalidInputException(
          "%s: %s is [%d, %d], but config.json makes it [%d, %d]"
              .formatted(checkpoint.path(), module, weight.rows(), weight.cols(), rows, cols));
    }
    return weight;
  }

  private Linear linear(Weight... parts) {
    return Linear.of(place(parts.length == 1 ? parts[0] : new Weight.Stacked(List.of(parts))));
  }

  private Weight place(Weight weight) {
    Weight placed = backend.place(weight, memory);
    bytes += placed.bytes();
    return placed;
  }

  private Tensor vector(String name, long size) {
    Tensor tensor = checkpoint.tensor(name);
    if (tensor.rank() != 1 || tensor.size(0) != size || !tensor.dtype().isFloating()) {
      TensorInfo info = checkpoint.tensors().get(name);
      throw new InvalidInputException(
          "%s: %s is %s%s, but config.json makes it floating [%d]"
              .formatted(checkpoint.path(), name, info.dtype(), info.shape(), size));
    }
    Tensor placed = backend.placeF32(tensor, memory);
    bytes += placed.bytes();
    return placed;
  }
}
