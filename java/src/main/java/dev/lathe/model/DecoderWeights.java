package dev.lathe.model;

import dev.lathe.backend.Linear;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The weights of a decoder on the device.
 *
 * @param embedding [vocabulary, hidden]
 * @param positions [contextLength, hidden], where positions are learned
 * @param head [vocabulary, hidden]; the embedding itself where they are tied
 */
public record DecoderWeights(
    Weight embedding, Optional<Weight> positions, List<Layer> layers, Norm finalNorm, Linear head) {
  public DecoderWeights {
    layers = List.copyOf(layers);
  }

  /**
   * RMSNorm, or LayerNorm where there is a bias.
   *
   * @param weight, bias [hidden] F32
   */
  public record Norm(Tensor weight, Optional<Tensor> bias) {
    public long elements() {
      return weight.elements() + bias.map(Tensor::elements).orElse(0L);
    }
  }

  /**
   * Norms over each head of the queries and of the keys.
   *
   * @param query, key [headDim] F32
   */
  public record HeadNorms(Tensor query, Tensor key) {}

  /**
   * One transformer block. A norm that comes after a sublayer is applied to what the sublayer adds
   * to the residual stream.
   *
   * @param queryKeyValue [(heads + 2 kvHeads) headDim, hidden]
   * @param attentionOutput [hidden, heads * headDim]
   * @param gateUp [2 intermediate, hidden], the gate first; without a gate [intermediate, hidden]
   * @param down [hidden, intermediate]
   */
  public record Layer(
      int index,
      Norm attentionNorm,
      Linear queryKeyValue,
      Optional<HeadNorms> headNorms,
      Linear attentionOutput,
      Optional<Norm> postAttentionNorm,
      Norm feedForwardNorm,
      Linear gateUp,
      Linear down,
      Optional<Norm> postFeedForwardNorm) {

    /** All norms over the residual stream that the block has. */
    public Stream<Norm> norms() {
      return Stream.of(
              Optional.of(attentionNorm),
              postAttentionNorm,
              Optional.of(feedForwardNorm),
              postFeedForwardNorm)
          .flatMap(Optional::stream);
    }
  }

  /** Whether matrices of blocks are quantized. */
  boolean isQuantized() {
    return layers.stream()
        .flatMap(layer ->
            Stream.of(layer.queryKeyValue(), layer.attentionOutput(), layer.gateUp(), layer.down()))
        .anyMatch(linear -> linear.weight().isQuantized());
  }

  public boolean isTied() {
    return head.weight().equals(embedding);
  }
}
