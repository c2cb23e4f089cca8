package dev.lathe.measure;

import dev.lathe.backend.Linear;
import dev.lathe.model.DecoderWeights;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.HashMap;
import java.util.Map;

/**
 * What a linear layer or norm is for, found by the weights that it is called with: they are the
 * model's own objects, so nothing has to be handed down through the forward pass.
 */
public final class OperationNames {
  /**
   * @param layer index of the block; -1 for what is before and after the blocks
   */
  public record Name(String operation, int layer) {}

  /** For a backend that is timed without a model: every linear layer is {@code linear}. */
  public static final OperationNames NONE = new OperationNames();

  // Records of tensors, which are equal only to themselves.
  private final Map<Weight, Name> linears = new HashMap<>();
  private final Map<Tensor, Name> norms = new HashMap<>();

  private OperationNames() {}

  /** Names {@code qkv, attention_output, gate_up, down, head} and the norms of each block. */
  public static OperationNames of(DecoderWeights weights) {
    OperationNames names = new OperationNames();
    for (DecoderWeights.Layer layer : weights.layers()) {
      int i = layer.index();
      names.linears.put(layer.queryKeyValue().weight(), new Name("qkv", i));
      names.linears.put(layer.attentionOutput().weight(), new Name("attention_output", i));
      names.linears.put(layer.gateUp().weight(), new Name("gate_up", i));
      names.linears.put(layer.down().weight(), new Name("down", i));
      names.put(layer.attentionNorm(), i);
      names.put(layer.feedForwardNorm(), i);
      layer
          .postAttentionNorm()
          .ifPresent(norm -> names.norms.put(norm.weight(), new Name("add_rms_norm", i)));
      layer
          .postFeedForwardNorm()
          .ifPresent(norm -> names.norms.put(norm.weight(), new Name("add_rms_norm", i)));
    }
    names.linears.put(weights.head().weight(), new Name("head", -1));
    names.put(weights.finalNorm(), -1);
    return names;
  }

  private void put(DecoderWeights.Norm norm, int layer) {
    norms.put(norm.weight(), new Name(norm.bias().isPresent() ? "layer_norm" : "rms_norm", layer));
  }

  Name linear(Linear layer) {
    return linears.getOrDefault(layer.weight(), new Name("linear", -1));
  }

  /** {@code otherwise} where the model has no norm with this weight. */
  Name norm(Tensor weight, String otherwise) {
    return norms.getOrDefault(weight, new Name(otherwise, -1));
  }
}
