package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BackendConformance;
import dev.lathe.backend.LinearChecks;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.backend.Tolerance;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;

/** The whole suite on the GPU that there is, the emulated one among them. */
@Tag("cuda")
final class CudaConformanceTest extends BackendConformance {
  /** What two BF16 leave of a number: the first at most 2^-8 of it, the second 2^-9 of that. */
  private static final double IN_TWO_PARTS = 0x1p-17;

  /** Of F16 weights too, which two BF16 hold; the product of both low parts is left out. */
  private static final double WITHOUT_LOW_PARTS = 0x1p-16;

  private CudaBackend opened;

  @Override
  protected Backend open() {
    opened = CudaBackend.open();
    return opened;
  }

  /**
   * Beside more than 8 tokens, own kernels take activations as two BF16, high and low, and F16
   * weights too; cuBLAS, beside many, rounds activations to the type of 16-bit weights.
   */
  @Override
  protected LinearChecks.Rounding activationRounding(Weight weight, int tokens) {
    return LinearChecks.Rounding.relative(
        tokens <= Dispatcher.EXACT_ROWS ? 0 : relativeRounding(weight, tokens));
  }

  private static double relativeRounding(Weight weight, int tokens) {
    return switch (weight) {
      case Weight.Dense dense when tokens > Dispatcher.FEW_ROWS -> roundoff(dense.values().dtype());
      case Weight.Dense dense when dense.values().dtype() == DType.F32 -> 0;
      case Weight.Dense dense when dense.values().dtype() == DType.F16 ->
          IN_TWO_PARTS + WITHOUT_LOW_PARTS;
      case Weight.Int8 int8 when TokenQuantization.isFor(int8) -> 0; // the definition's codes
      case Weight.Dense _, Weight.Int8 _ -> IN_TWO_PARTS;
      default -> 0;
    };
  }

  /** Tensor cores multiply 16-bit keys and values by queries and probabilities of the same type. */
  @Override
  protected double attentionRounding(DType cacheType, AttentionShape shape, int pageSize) {
    return roundoff(cacheType);
  }

  /** Beside INT8, tensor cores multiply by queries and weighted probabilities rounded to F16. */
  @Override
  protected double int8AttentionError(
      AttentionShape shape, int pageSize, double largestScore, double largestValue) {
    return AttentionGeometry.fitsTensorCores(shape, DType.I8, pageSize)
        ? Tolerance.roundedAttention(roundoff(DType.F16), largestScore, largestValue)
        : 0;
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
