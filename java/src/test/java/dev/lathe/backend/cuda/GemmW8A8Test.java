package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * gemm_w8a8.cu and quantize.cu against Java's integers and roundings: integer sums are exact and
 * each later step rounds once, so every bit is equal.
 */
@Tag("cuda")
class GemmW8A8Test {

  /** What is multiplied, on the host. */
  private record Case(
      byte[] a, float[] aScales, byte[] b, float[] bScales, float[] bias, int depth) {
    static Case random(int rows, int cols, int depth, boolean biased) {
      Random random = new Random(rows * 31L + cols * 7L + depth);
      byte[] a = new byte[rows * depth];
      byte[] b = new byte[cols * depth];
      random.nextBytes(a); // -128 too, which symmetric quantization doesn't make
      random.nextBytes(b);
      return new Case(
          a,
          scales(random, rows),
          b,
          scales(random, cols),
          biased ? scales(random, cols) : null,
          depth);
    }

    private static float[] scales(Random random, int count) {
      float[] scales = new float[count];
      for (int i = 0; i < count; i++) {
        scales[i] = (float) random.nextGaussian() * 0.01f;
      }
      return scales;
    }

    float expected(int row, int col) {
      int sum = 0;
      for (int k = 0; k < depth; k++) {
        sum += a[row * depth + k] * b[col * depth + k];
      }
      return (float) sum * aScales[row] * bScales[col] + (bias == null ? 0 : bias[col]);
    }

    /** The first element that differs, or -1. */
    long firstWrong(Tensor out) {
      int cols = bScales.length;
      for (int i = 0; i < aScales.length * cols; i++) {
        float actual = (float) CudaBench.at(out, i);
        if (Float.floatToIntBits(actual) != Float.floatToIntBits(expected(i / cols, i % cols))) {
          return i;
        }
      }
      return -1;
    }
  }

  /**
   * Small tiles with and without split depth, large ones; tails in every dimension; K not of 16.
   */
  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, false",
    "1, 64, 128, true",
    "3, 65, 1040, false",
    "16, 7, 33, true",
    "33, 130, 512, true",
    "64, 64, 2064, true",
    "5, 9, 0, true",
    "65, 129, 80, true",
    "129, 70, 333, false",
    "128, 128, 320, true",
  })
  void equalsIntegerArithmetic(int rows, int cols, int depth, boolean biased) {
    Case one = Case.random(rows, cols, depth, biased);
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      try (CudaBench bench = new CudaBench()) {
        assertThat(one.firstWrong(run(bench, one))).as("order %s", order).isEqualTo(-1);
      } finally {
        CudaBench.setOrder("forward");
      }
    }
  }

  @Test
  void depthIsDividedWhereTilesAreFew() {
    GemmW8A8 gemm = new GemmW8A8(null, new DeviceLimits(132, 232_448, 32, 1024, 90));
    assertThat(gemm.splits(1, 4096, 4096)).isEqualTo(8);
    assertThat(gemm.splits(1, 64, 16_384)).isEqualTo(32);
    assertThat(gemm.splits(64, 28_672, 8192)).isEqualTo(1);
    assertThat(gemm.splits(65, 64, 16_384)).isEqualTo(1);
    assertThat(gemm.splits(1, 64, 128)).isEqualTo(1);
    assertThat(gemm.workspaceBytes(1, 4096, 4096)).isEqualTo(8L * 4096 * 4);
  }

  /** What would overflow 32 bits never reaches the kernel. */
  @Test
  void tooDeepIsRefused() {
    try (CudaBench bench = new CudaBench()) {
      int depth = Math.toIntExact(GemmW8A8.MAX_DEPTH) + 1;
      Case deep = Case.random(1, 1, depth, false);
      assertThatThrownBy(() -> run(bench, deep))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("depth up to 131071");
    }
  }

  /** One weight that is off by one anywhere is seen; so is a scale of the neighbouring token. */
  @Test
  void canaryOneWrongWeightIsCaught() {
    Case right = Case.random(4, 70, 144, false);
    try (CudaBench bench = new CudaBench()) {
      Tensor out = run(bench, right);
      byte[] weights = right.b().clone();
      weights[69 * 144 + 143] ^= 1;
      Case wrong =
          new Case(right.a(), right.aScales(), weights, right.bScales(), null, right.depth());
      assertThat(wrong.firstWrong(out)).isEqualTo(69);
    }
  }

  /** The kernel with one mistake: two registers of a fragment are swapped. */
  @Test
  void canaryWrongKernelIsCaught() {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    Case one = Case.random(32, 64, 256, false);
    try (CudaBench bench = new CudaBench()) {
      Tensor out = bench.device(DType.F32, 32, 64);
      bench
          .kernels
          .get("test/gemm_faults", "gemm_w8a8_small")
          .pointer(out)
          .pointer(bench.up(bytes(bench, one.a(), 32, 256)))
          .pointer(bench.up(bench.floats(one.aScales())))
          .pointer(bench.up(bytes(bench, one.b(), 64, 256)))
          .pointer(bench.up(bench.floats(one.bScales())))
          .pointer(0)
          .i64(32)
          .i64(64)
          .i64(256)
          .launch(1, 1, 1, 128, 4 * (32 + 64) * 128);
      assertThat(one.firstWrong(bench.down(out))).isNotEqualTo(-1);
    }
  }

  private static Tensor run(CudaBench bench, Case one) {
    int rows = one.aScales().length;
    int cols = one.bScales().length;
    GemmW8A8 gemm = new GemmW8A8(bench.kernels, DeviceLimits.of(bench.context));
    Tensor out = bench.device(DType.F32, rows, cols);
    Tensor workspace = bench.device(DType.U8, gemm.workspaceBytes(rows, cols, one.depth()));
    gemm.multiply(
        out,
        bench.up(bytes(bench, one.a(), rows, one.depth())),
        bench.up(bench.floats(one.aScales())),
        bench.up(bytes(bench, one.b(), cols, one.depth())),
        bench.up(bench.floats(one.bScales())),
        one.bias() == null ? null : bench.up(bench.floats(one.bias())),
        workspace.address());
    return bench.down(out);
  }

  private static Tensor bytes(CudaBench bench, byte[] values, int rows, int cols) {
    Tensor tensor = bench.host(DType.I8, rows, cols);
    for (int i = 0; i < values.length; i++) {
      tensor.memory().set(ValueLayout.JAVA_BYTE, i, values[i]);
    }
    return tensor;
  }

  @ParameterizedTest
  @CsvSource({"1, 1", "1, 255", "3, 256", "300, 5", "2, 4099"})
  void quantizedRowsEqualJavasRounding(int rows, int cols) {
    Random random = new Random(rows + cols);
    float[] x = new float[rows * cols];
    for (int i = 0; i < x.length; i++) {
      // Multiples of a half of the largest's 127th come out as ties.
      x[i] = i % cols == 0 ? 127 : i % 3 == 0 ? random.nextInt(-250, 250) / 2f : random.nextFloat();
    }
    for (int c = 0; c < cols && rows > 2; c++) {
      x[cols + c] = 0; // a row of zeros
      x[2 * cols + c] = c % 2 == 0 ? Float.MIN_VALUE : -Float.MIN_VALUE * 100;
    }
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      try (CudaBench bench = new CudaBench()) {
        checkQuantized(bench, x, rows, cols);
      } finally {
        CudaBench.setOrder("forward");
      }
    }
  }

  private static void checkQuantized(CudaBench bench, float[] x, int rows, int cols) {
    QuantizeKernels kernels = new QuantizeKernels(bench.kernels, DeviceLimits.of(bench.context));
    Tensor wide = bench.host(DType.F32, rows, cols);
    for (int i = 0; i < x.length; i++) {
      Floats.set(wide.memory(), DType.F32, i, x[i]);
    }
    Tensor q = bench.device(DType.I8, rows, cols);
    Tensor scales = bench.device(DType.F32, rows);
    kernels.quantizeRows(q, scales, bench.up(wide));
    Tensor narrow = bench.down(q);
    Tensor units = bench.down(scales);
    for (DType type : new DType[] {DType.F32, DType.BF16, DType.F16}) {
      Tensor back = bench.device(type, rows, cols);
      kernels.dequantizeRows(back, q, scales);
      Tensor actual = bench.down(back);
      Tensor rounded = bench.host(type, 1);
      for (int r = 0; r < rows; r++) {
        float largest = 0;
        for (int c = 0; c < cols; c++) {
          largest = Math.max(largest, Math.abs(x[r * cols + c]));
        }
        float unit = largest == 0 ? 1 : Math.max(largest / 127, Float.MIN_VALUE);
        assertThat((float) CudaBench.at(units, r)).isEqualTo(unit);
        for (int c = 0; c < cols; c++) {
          int i = r * cols + c;
          int expected = (int) Math.clamp(Math.rint(x[i] / unit), -127, 127);
          assertThat((int) narrow.memory().get(ValueLayout.JAVA_BYTE, i)).isEqualTo(expected);
          Floats.set(rounded.memory(), type, 0, expected * unit);
          assertThat(CudaBench.at(actual, i)).isEqualTo(CudaBench.at(rounded, 0));
        }
      }
    }
  }

  /** A NaN is not hidden by the largest of the others. */
  @Test
  void whatIsNotFiniteShows() {
    try (CudaBench bench = new CudaBench()) {
      QuantizeKernels kernels = new QuantizeKernels(bench.kernels, DeviceLimits.of(bench.context));
      Tensor x = bench.host(DType.F32, 2, 300);
      Floats.set(x.memory(), DType.F32, 299, Float.NaN);
      Floats.set(x.memory(), DType.F32, 300, Float.NEGATIVE_INFINITY);
      Tensor scales = bench.device(DType.F32, 2);
      kernels.quantizeRows(bench.device(DType.I8, 2, 300), scales, bench.up(x));
      Tensor units = bench.down(scales);
      assertThat(CudaBench.at(units, 0)).isNaN();
      assertThat(CudaBench.at(units, 1)).isEqualTo(Double.POSITIVE_INFINITY);
    }
  }
}
