package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * gemm_w8a8.cu against Java's integers and roundings, quantize.cu against the definition: integer
 * sums are exact and each later step rounds once, so every bit is equal.
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
      float product = (float) sum * aScales[row] * bScales[col];
      return bias == null ? product : product + bias[col];
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

    /** The first element that differs where products were added to columns of a wider matrix. */
    long firstWrongAdded(Tensor wide) {
      int width = bScales.length + 2 * GAP;
      for (int i = 0; i < aScales.length * width; i++) {
        int col = i % width - GAP;
        boolean inside = col >= 0 && col < bScales.length;
        float expected = inside ? before(i) + expected(i / width, col) : before(i);
        float actual = (float) CudaBench.at(wide, i);
        if (Float.floatToIntBits(actual) != Float.floatToIntBits(expected)) {
          return i;
        }
      }
      return -1;
    }
  }

  /** Columns of a wider matrix on each side of those that a product is added to. */
  private static final int GAP = 3;

  /** What is there before a product is added to it. */
  private static float before(int element) {
    return element % 11 * 0.37f - 2;
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
        assertThat(one.firstWrongAdded(runAdded(bench, one))).as("added, %s", order).isEqualTo(-1);
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
          .i64(64)
          .pointer(bench.up(bench.floats(one.aScales())))
          .pointer(bench.up(bench.floats(one.bScales())))
          .pointer(0)
          .i32(0)
          .pointer(bench.up(bytes(bench, one.a(), 32, 256)))
          .pointer(bench.up(bytes(bench, one.b(), 64, 256)))
          .i64(32)
          .i64(64)
          .i64(256)
          .launch(1, 1, 1, 128, 4 * (32 + 64) * 128);
      assertThat(one.firstWrong(bench.down(out))).isNotEqualTo(-1);
    }
  }

  private static Tensor run(CudaBench bench, Case one) {
    Tensor out = bench.device(DType.F32, one.aScales().length, one.bScales().length);
    multiply(bench, out, one, Epilogue.STORE);
    return bench.down(out);
  }

  private static Tensor runAdded(CudaBench bench, Case one) {
    int cols = one.bScales().length;
    Tensor host = bench.host(DType.F32, one.aScales().length, cols + 2 * GAP);
    for (int i = 0; i < host.elements(); i++) {
      Floats.set(host.memory(), DType.F32, i, before(i));
    }
    Tensor wide = bench.up(host);
    multiply(bench, wide.columns(GAP, GAP + cols), one, Epilogue.ADD);
    return bench.down(wide);
  }

  private static void multiply(CudaBench bench, Tensor out, Case one, Epilogue epilogue) {
    int rows = one.aScales().length;
    int cols = one.bScales().length;
    GemmW8A8 gemm = new GemmW8A8(bench.kernels, DeviceLimits.of(bench.context));
    Tensor workspace = bench.device(DType.U8, gemm.workspaceBytes(rows, cols, one.depth()));
    gemm.multiply(
        out,
        new Int8Rows(
            bench.up(bytes(bench, one.a(), rows, one.depth())),
            bench.up(bench.floats(one.aScales()))),
        new Int8Rows(
            bench.up(bytes(bench, one.b(), cols, one.depth())),
            bench.up(bench.floats(one.bScales()))),
        Optional.ofNullable(one.bias()).map(bias -> bench.up(bench.floats(bias))),
        epilogue,
        workspace.address());
  }

  private static Tensor bytes(CudaBench bench, byte[] values, int rows, int cols) {
    Tensor tensor = bench.host(DType.I8, rows, cols);
    for (int i = 0; i < values.length; i++) {
      tensor.memory().set(ValueLayout.JAVA_BYTE, i, values[i]);
    }
    return tensor;
  }

  /** What quantizing gives, on the host. */
  private record Quantized(Tensor codes, Tensor scales, QuantizeKernels kernels, Int8Rows device) {
    /**
     * @param gap columns of the matrix that x lies in, on each side of it
     */
    static Quantized of(CudaBench bench, float[][] x, int gap) {
      QuantizeKernels kernels = new QuantizeKernels(bench.kernels, DeviceLimits.of(bench.context));
      int cols = x[0].length;
      Int8Rows to =
          new Int8Rows(bench.device(DType.I8, x.length, cols), bench.device(DType.F32, x.length));
      kernels.quantizeRows(to, bench.up(matrix(bench, x, gap)).columns(gap, gap + cols));
      return new Quantized(bench.down(to.codes()), bench.down(to.scales()), kernels, to);
    }

    byte[] row(int row) {
      long cols = codes.size(1);
      return codes.memory().asSlice(row * cols, cols).toArray(ValueLayout.JAVA_BYTE);
    }

    float scale(int row) {
      return (float) CudaBench.at(scales, row);
    }
  }

  /** Beside x there are numbers that would be larger than its largest. */
  private static Tensor matrix(CudaBench bench, float[][] x, int gap) {
    int width = x[0].length + 2 * gap;
    Tensor matrix = bench.host(DType.F32, x.length, width);
    for (int i = 0; i < matrix.elements(); i++) {
      int col = i % width - gap;
      boolean inside = col >= 0 && col < x[0].length;
      Floats.set(matrix.memory(), DType.F32, i, inside ? x[i / width][col] : 1e9f);
    }
    return matrix;
  }

  /** By hand: ties go to even, and products with 127 / largest are rounded, not quotients. */
  @Test
  void codesByHand() {
    float[][] x = {
      {127, 0.5f, 1.5f, -2.5f, -127, 3.499f, -0.4f, 126.5f},
      {-254, 1, 3, 5, -7, 0, 253, 254},
      {5, 0.53149605f, 0, 0, 0, 0, 0, 0}, // 13.5 where it is divided by 5 / 127, which is 14
      {0, 0, -0f, 0, 0, 0, 0, 0}
    };
    try (CudaBench bench = new CudaBench()) {
      Quantized quantized = Quantized.of(bench, x, 0);
      assertThat(quantized.row(0)).containsExactly(127, 0, 2, -2, -127, 3, 0, 126);
      assertThat(quantized.row(1)).containsExactly(-127, 0, 2, 2, -4, 0, 126, 127);
      assertThat(quantized.row(2)).containsExactly(127, 13, 0, 0, 0, 0, 0, 0);
      assertThat(quantized.row(3)).containsOnly(0);
      assertThat(quantized.scale(0)).isEqualTo(1);
      assertThat(quantized.scale(1)).isEqualTo(2);
      assertThat(quantized.scale(2)).isEqualTo(5f / 127);
      assertThat(quantized.scale(3)).isEqualTo(1e-30f / 127);
    }
  }

  /** Halves of a 127th of the largest, which come out as ties or beside them, among others. */
  private static float[][] ties(int rows, int cols) {
    float[][] x = new float[rows][cols];
    Random random = new Random(rows + cols);
    for (int r = 0; r < rows; r++) {
      float largest = r == 0 ? 127 : 1 + 3 * random.nextFloat();
      for (int c = 0; c < cols; c++) {
        x[r][c] =
            c == 0
                ? largest
                : c % 3 == 0
                    ? (random.nextInt(-127, 127) + 0.5f) * largest / 127
                    : largest * (2 * random.nextFloat() - 1);
      }
    }
    return x;
  }

  /** Among these data there are codes that a rounded quotient would make others. */
  @Test
  void canaryQuotientsAreSeen() {
    float[][] x = ties(9, 256);
    int others = 0;
    try (CudaBench bench = new CudaBench()) {
      Quantized quantized = Quantized.of(bench, x, 0);
      for (int r = 0; r < x.length; r++) {
        byte[] codes = quantized.row(r);
        for (int c = 0; c < codes.length; c++) {
          others += codes[c] == Math.rint(x[r][c] / quantized.scale(r)) ? 0 : 1;
        }
      }
    }
    assertThat(others).isPositive();
  }

  /** Packed and not, rows apart by what keeps them packed and by what doesn't. */
  @ParameterizedTest
  @CsvSource({
    "1, 1, 0",
    "1, 255, 0",
    "3, 256, 0",
    "3, 256, 3",
    "3, 256, 4",
    "300, 5, 0",
    "300, 8, 0",
    "3, 1028, 2",
    "2, 4099, 1",
    "9, 4100, 4"
  })
  void quantizedRowsEqualTheDefinition(int rows, int cols, int gap) {
    float[][] x = ties(rows, cols);
    if (rows > 2) {
      Arrays.fill(x[1], 0);
      for (int c = 0; c < cols; c++) {
        x[2][c] = c % 2 == 0 ? Float.MIN_VALUE : -Float.MIN_VALUE * 100;
      }
    }
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      try (CudaBench bench = new CudaBench()) {
        checkQuantized(bench, x, gap);
      } finally {
        CudaBench.setOrder("forward");
      }
    }
  }

  private static void checkQuantized(CudaBench bench, float[][] x, int gap) {
    Quantized actual = Quantized.of(bench, x, gap);
    Tensor plain = matrix(bench, x, 0);
    for (int r = 0; r < x.length; r++) {
      TokenQuantization expected = TokenQuantization.of(plain, r);
      assertThat(actual.row(r)).isEqualTo(expected.codes());
      assertThat(actual.scale(r)).isEqualTo(expected.scale());
    }
    for (DType type : new DType[] {DType.F32, DType.BF16, DType.F16}) {
      Tensor back = bench.device(type, x.length, x[0].length);
      actual.kernels().dequantizeRows(back, actual.device());
      Tensor wide = bench.down(back);
      Tensor rounded = bench.host(type, 1);
      for (int i = 0; i < wide.elements(); i++) {
        int row = i / x[0].length;
        Floats.set(rounded.memory(), type, 0, actual.row(row)[i % x[0].length] * actual.scale(row));
        assertThat(CudaBench.at(wide, i)).isEqualTo(CudaBench.at(rounded, 0));
      }
    }
  }

  /** A NaN is not hidden by the largest of the others, and the next row has nothing of it. */
  @Test
  void whatIsNotFiniteShows() {
    for (int cols : new int[] {299, 300}) {
      float[][] x = new float[4][cols];
      x[0][cols - 1] = Float.NaN;
      x[0][0] = Float.POSITIVE_INFINITY;
      x[1][3] = Float.NEGATIVE_INFINITY;
      Arrays.fill(x[2], 7);
      x[3][0] = -Float.MAX_VALUE;
      try (CudaBench bench = new CudaBench()) {
        Quantized quantized = Quantized.of(bench, x, 0);
        for (int row = 0; row < 2; row++) {
          assertThat(quantized.scale(row)).isNaN();
          assertThat(quantized.row(row)).containsOnly(0);
        }
        assertThat(quantized.scale(2)).isEqualTo(7f / 127);
        assertThat(quantized.row(2)).containsOnly(127);
        assertThat(quantized.scale(3)).isEqualTo(Float.MAX_VALUE / 127);
        assertThat(quantized.row(3)[0]).isEqualTo((byte) -127);
      }
    }
  }
}
