package dev.lathe.model;

import dev.lathe.backend.Linear;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.List;

/**
 * The weights of a decoder on the device.
 *
 * @param embedding [vocabulary, hidden]
 * @param finalNorm [hidden] F32
 * @param head [vocabulary, hidden]; the embedding itself where they are tied
 */
public record DecoderWeights(Weight embedding, List<Layer> layers, Tensor finalNorm, Linear head) {
  public DecoderWeights {
    layers = List.copyOf(layers);
  }

  /**
   * One transformer block.
   *
   * @param attentionNorm [hidden] F32
   * @param queryKeyValue [(heads + 2 kvHeads) headDim, hidden]
   * @param attentionOutput [hidden, heads * headDim]
   * @param feedForwardNorm [hidden] F32
   * @param gateUp [2 intermediate, hidden], the gate first
   * @param down [hidden, intermediate]
   */
  public record Layer(
      int index,
      Tensor attentionNorm,
      Linear queryKeyValue,
      Linear attentionOutput,
      Tensor feedForwardNorm,
      Linear gateUp,
      Linear down) {}

  public boolean isTied() {
    return head.weight().equals(embedding);
  }
}
