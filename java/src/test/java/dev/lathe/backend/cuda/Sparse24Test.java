package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** sparse24.cu: compressed weights multiply as the dense ones that they were made of. */
@Tag("cuda")
class Sparse24Test {

  /** Tails of rows, tokens and columns; one slab and many; fours that keep none, one or two. */
  @ParameterizedTest
  @CsvSource({
    "F16, 1, 1, 8, false",
    "F16, 1, 16, 64, true",
    "F16, 33, 17, 72, true",
    "F16, 5, 40, 648, false",
    "BF16, 1, 16, 256, false",
    "BF16, 32, 31, 264, true",
    "BF16, 65, 16, 328, true",
    "I8, 1, 1, 16, false",
    "I8, 8, 16, 64, true",
    "I8, 33, 35, 336, true",
    "I8, 4, 16, 1040, false",
  })
  void equalsTheDenseProduct(DType type, int tokens, int rows, int cols, boolean biased) {
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      try (CudaBench bench = new CudaBench()) {
        Case one = Case.random(bench, type, tokens, rows, cols, biased);
        one.check(one.run(bench, "sparse24"));
      } finally {
        CudaBench.setOrder("forward");
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16", "I8"})
  void weightThatIsNotSparseIsRefused(DType type) {
    try (CudaBench bench = new CudaBench()) {
      Tensor weight = sparse(bench, new Random(1), type, 20, 80);
      for (int column = 72; column < 75; column++) {
        put(weight, 18 * 80 + column, 3);
      }
      Tensor dense = bench.up(minusOne(bench));
      new Sparse24Kernels(bench.kernels)
          .compress(room(bench, type, 20, 80), dense, bench.up(weight));
      long first = bench.down(dense).memory().get(ValueLayout.JAVA_LONG, 0);
      assertThatThrownBy(() -> Sparse24Kernels.refuseDense("layers.0.up", 80, first))
          .isInstanceOf(InvalidInputException.class)
          .hasMessage(
              "layers.0.up is not 2:4 sparse: row 18 has more than two weights that aren't zero in"
                  + " columns 72 to 75");
    }
  }

  @Test
  void compressedBytesAreWhatTheFormatSays() {
    // 9 bits of 16 and 5 of 8.
    assertThat(room16()).isEqualTo(4096L * 4096 * 9 / 8);
    assertThat(
            Sparse24Kernels.valueBytes(DType.I8, 4096, 4096)
                + Sparse24Kernels.metadataBytes(4096, 4096))
        .isEqualTo(4096L * 4096 * 5 / 8);
  }

  private static long room16() {
    return Sparse24Kernels.valueBytes(DType.BF16, 4096, 4096)
        + Sparse24Kernels.metadataBytes(4096, 4096);
  }

  /** Metadata of the other half of the lanes multiplies other columns: the comparison sees it. */
  @Test
  void canaryWrongSelectorIsCaught() {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    try (CudaBench bench = new CudaBench()) {
      Case one = Case.random(bench, DType.F16, 8, 16, 128, false);
      Tensor wrong = one.run(bench, "test/sparse24_faults");
      assertThatThrownBy(() -> one.check(wrong)).isInstanceOf(AssertionError.class);
    }
  }

  private static Tensor minusOne(CudaBench bench) {
    Tensor tensor = bench.host(DType.I64, 1);
    tensor.memory().set(ValueLayout.JAVA_LONG, 0, -1);
    return tensor;
  }

  private static Sparse24Kernels.Weights room(CudaBench bench, DType type, int rows, int cols) {
    return new Sparse24Kernels.Weights(
        bench.device(DType.U8, Sparse24Kernels.valueBytes(type, rows, cols)),
        bench.device(DType.U8, Sparse24Kernels.metadataBytes(rows, cols)),
        type,
        rows,
        cols);
  }

  private static void put(Tensor tensor, long i, double value) {
    if (tensor.dtype() == DType.I8) {
      tensor.memory().set(ValueLayout.JAVA_BYTE, i, (byte) value);
    } else {
      Floats.set(tensor.memory(), tensor.dtype(), i, (float) value);
    }
  }

  private static double get(Tensor tensor, long i) {
    return tensor.dtype() == DType.I8
        ? tensor.memory().get(ValueLayout.JAVA_BYTE, i)
        : Floats.get(tensor.memory(), tensor.dtype(), i);
  }

  private static double draw(Random random, DType type) {
    return type == DType.I8 ? random.nextInt(-127, 128) : random.nextGaussian();
  }

  private static Tensor sparse(CudaBench bench, Random random, DType type, int rows, int cols) {
    Tensor weight = bench.host(type, rows, cols);
    for (int four = 0; four < rows * cols / 4; four++) {
      int kept = random.nextInt(8) == 0 ? random.nextInt(2) : 2;
      for (int i = 0; i < kept; i++) {
        put(
            weight,
            4L * four + random.nextInt(4),
            draw(random, type)); // the same place twice keeps one
      }
    }
    return weight;
  }

  private record Case(Tensor x, Tensor weight, Tensor xScales, Tensor wScales, Tensor bias) {
    static Case random(
        CudaBench bench, DType type, int tokens, int rows, int cols, boolean biased) {
      Random random = new Random(tokens + 100L * rows + 10_000L * cols);
      Tensor x = bench.host(type, tokens, cols);
      for (int i = 0; i < tokens * cols; i++) {
        put(x, i, draw(random, type));
      }
      return new Case(
          x,
          sparse(bench, random, type, rows, cols),
          floats(bench, random, tokens),
          floats(bench, random, rows),
          biased ? floats(bench, random, rows) : null);
    }

    private static Tensor floats(CudaBench bench, Random random, int count) {
      float[] values = new float[count];
      for (int i = 0; i < count; i++) {
        values[i] = (float) random.nextGaussian();
      }
      return bench.floats(values);
    }

    Tensor run(CudaBench bench, String module) {
      int rows = (int) weight.size(0);
      int cols = (int) weight.size(1);
      Sparse24Kernels kernels = new Sparse24Kernels(bench.kernels, module);
      Sparse24Kernels.Weights weights = room(bench, weight.dtype(), rows, cols);
      Tensor dense = bench.up(minusOne(bench));
      kernels.compress(weights, dense, bench.up(weight));
      Sparse24Kernels.refuseDense(
          "weight", cols, bench.down(dense).memory().get(ValueLayout.JAVA_LONG, 0));
      Tensor out = bench.device(DType.F32, x.size(0), rows);
      Tensor added = bias == null ? null : bench.up(bias);
      if (weight.dtype() == DType.I8) {
        kernels.multiply(out, bench.up(x), bench.up(xScales), weights, bench.up(wScales), added);
      } else {
        kernels.multiply(out, bench.up(x), weights, added);
      }
      return bench.down(out);
    }

    /**
     * INT8 is equal; floats differ by the rounding or cutting off of each of cols / 2 sums and the
     * few after them.
     */
    void check(Tensor out) {
      long rows = weight.size(0);
      long cols = weight.size(1);
      for (long token = 0; token < x.size(0); token++) {
        for (long row = 0; row < rows; row++) {
          double sum = 0;
          double magnitude = bias == null ? 0 : Math.abs(get(bias, row));
          for (long k = 0; k < cols; k++) {
            double product = get(x, token * cols + k) * get(weight, row * cols + k);
            sum += product;
            magnitude += Math.abs(product);
          }
          double actual = get(out, token * rows + row);
          double added = bias == null ? 0 : get(bias, row);
          if (weight.dtype() == DType.I8) {
            float scaled = (float) sum * (float) get(xScales, token) * (float) get(wScales, row);
            assertThat((float) actual)
                .as("token %d, row %d", token, row)
                .isEqualTo(scaled + (float) added);
          } else {
            assertThat(Math.abs(actual - sum - added))
                .as("token %d, row %d: %s, expected %s", token, row, actual, sum + added)
                .isLessThanOrEqualTo((cols / 2.0 + 8) * 0x1p-23 * magnitude);
          }
        }
      }
    }
  }
}
