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
