package dev.lathe.backend;

import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;

/**
 * {@code y = x W^T + b}.
 *
 * @param weight W [outputs, inputs], as placed by the backend that is to multiply it
 * @param bias b [outputs] F32, if there is one
 */
public record Linear(Weight weight, Optional<Tensor> bias) {
  public static Linear of(Weight weight) {
    return new Linear(weight, Optional.empty());
  }

  /** What is done with one matrix of a stack, whose outputs are some of the layer's. */
  @FunctionalInterface
  public interface PartAction {
    void accept(Linear part, long from, long to);
  }

  /** A stack matrix by matrix, each with its bias; a layer that is none as it is. */
  public void forEachPart(PartAction action) {
    if (!(weight instanceof Weight.Stacked stacked)) {
      action.accept(this, 0, outputs());
      return;
    }
    long from = 0;
    for (Weight part : stacked.parts()) {
      long first = from;
      long to = from + part.rows();
      action.accept(new Linear(part, bias.map(all -> all.rows(first, to))), first, to);
      from = to;
    }
  }

  public long outputs() {
    return weight.rows();
  }

  public long inputs() {
    return weight.cols();
  }

  /** Bytes that one multiplication has to read of the weights. */
  public long bytes() {
    return weight.bytes() + bias.map(Tensor::bytes).orElse(0L);
  }
}
