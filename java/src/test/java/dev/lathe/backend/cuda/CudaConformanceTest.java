package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Backend;
import dev.lathe.backend.BackendConformance;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;

/** The whole suite on the GPU that there is, the emulated one among them. */
@Tag("cuda")
final class CudaConformanceTest extends BackendConformance {
  /** Up to here activations are multiplied as they are. */
  private static final int EXACT_TOKENS = 8;

  private CudaBackend opened;

  @Override
  protected Backend open() {
    opened = CudaBackend.open();
    return opened;
  }

  /** Beside many tokens, activations are rounded to the type of 16-bit weights, once. */
  @Override
  protected double activationRounding(Weight weight, int tokens) {
    return tokens > EXACT_TOKENS && weight instanceof Weight.Dense dense
        ? roundoff(dense.values().dtype())
        : 0;
  }

  /** Tensor cores multiply 16-bit keys and values by queries and probabilities of the same type. */
  @Override
  protected double attentionRounding(DType cacheType) {
    return roundoff(cacheType);
  }

  private static double roundoff(DType type) {
    return switch (type) {
      case BF16 -> 0x1p-8;
      case F16 -> 0x1p-11;
      default -> 0;
    };
  }

  /** Every tensor that the suite allocated went back to the pool. */
  @AfterAll
  void nothingIsLeft() {
    assertThat(opened.openMemories()).isZero();
  }
}
