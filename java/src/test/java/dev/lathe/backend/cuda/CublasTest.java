package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasMath;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Products through unmodified JCublas against double precision, on whatever device there is. */
@Tag("cuda")
class CublasTest {
  private static final int F32 = cudaDataType.CUDA_R_32F;
  private static final int F16 = cudaDataType.CUDA_R_16F;
  private static final int BF16 = cudaDataType.CUDA_R_16BF;
  private static final int ALGORITHM = cublasGemmAlgo.CUBLAS_GEMM_DEFAULT;

  /**
   * C [m, n] = alpha op(A) op(B) + beta C, column-major; `pad` elements lie between columns. A
   * row-major matrix is the transposed column-major one.
   */
  record Case(
      int in, int out, int m, int n, int k, int opA, int opB, float alpha, float beta, int pad) {
    int rowsA() {
      return opA == 0 ? m : k;
    }

    int rowsB() {
      return opB == 0 ? k : n;
    }

    int leadingA() {
      return rowsA() + pad;
    }

    int leadingB() {
      return rowsB() + pad;
    }

    int leadingC() {
      return m + pad;
    }

    int sizeA() {
      return leadingA() * (opA == 0 ? k : m);
    }

    int sizeB() {
      return leadingB() * (opB == 0 ? n : k);
    }
  }

  static List<Case> cases() {
    List<Case> cases = new ArrayList<>();
    for (int[] types :
        new int[][] {{F32, F32}, {BF16, BF16}, {BF16, F32}, {F16, F16}, {F16, F32}}) {
      for (int opA = 0; opA < 2; opA++) {
        for (int opB = 0; opB < 2; opB++) {
          cases.add(new Case(types[0], types[1], 5, 3, 7, opA, opB, 1, 0, 0));
          cases.add(new Case(types[0], types[1], 33, 17, 65, opA, opB, 0.5f, -2, 3));
        }
      }
      cases.add(new Case(types[0], types[1], 1, 1, 1, 0, 0, 1, 0, 0));
      cases.add(new Case(types[0], types[1], 300, 9, 128, 1, 0, 1, 1, 0));
    }
    return cases;
  }

  private TestDevice device;
  private cublasHandle handle;

  @BeforeEach
  void open() {
    device = new TestDevice();
    CublasLibrary.whyUnusable()
        .ifPresent(why -> assumeTrue(false, () -> "cuBLAS can't be used: " + why));
    handle = new cublasHandle();
    assertThat(JCublas2.cublasCreate(handle)).isZero();
    // Sums in the output's type, which cuBLAS may choose where it splits K, have another error.
    int mode = cublasMath.CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    assertThat(JCublas2.cublasSetMathMode(handle, mode)).isZero();
  }

  @AfterEach
  void close() {
    if (handle != null) {
      JCublas2.cublasDestroy(handle);
    }
    device.close();
  }

  @Test
  void saysWhichCublasItIs() {
    assertThat(CublasLibrary.description()).matches("cuBLAS \\d+\\.\\d+\\.\\d+, .+");
    int[] version = new int[1];
    assertThat(JCublas2.cublasGetVersion(handle, version)).isZero();
    assertThat(version[0]).isGreaterThanOrEqualTo(110000);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void gemmExEqualsDoublePrecision(Case c) {
    float[] a = random(c.sizeA(), 1);
    float[] b = random(c.sizeB(), 2);
    float[] before = random(c.leadingC() * c.n(), 3);
    CUdeviceptr out = upload(c.out(), before);
    int status =
        JCublas2.cublasGemmEx_new(
            handle,
            c.opA(),
            c.opB(),
            c.m(),
            c.n(),
            c.k(),
            scalar(c.alpha()),
            upload(c.in(), a),
            c.in(),
            c.leadingA(),
            upload(c.in(), b),
            c.in(),
            c.leadingB(),
            scalar(c.beta()),
            out,
            c.out(),
            c.leadingC(),
            cublasComputeType.CUBLAS_COMPUTE_32F,
            ALGORITHM);
    assertThat(status).isZero();
    TestDevice.check(JCudaDriver.cuCtxSynchronize());
    assertProduct(
        c,
        rounded(c.in(), a),
        rounded(c.in(), b),
        rounded(c.out(), before),
        download(c.out(), out, before.length),
        0x1p-24);
  }

  /** A wrong kernel: one product of each sum left out. The comparison above has to see it. */
  @Test
  void canarySumsThatMissOneProductAreCaught() {
    Case c = new Case(BF16, F32, 5, 3, 65, 1, 0, 1, 0, 0);
    float[] a = random(c.sizeA(), 1);
    float[] b = random(c.sizeB(), 2);
    float[] before = new float[15];
    CUdeviceptr out = upload(F32, before);
    int status =
        JCublas2.cublasGemmEx_new(
            handle,
            1,
            0,
            5,
            3,
            64,
            scalar(1),
            upload(BF16, a),
            BF16,
            65,
            upload(BF16, b),
            BF16,
            65,
            scalar(0),
            out,
            F32,
            5,
            cublasComputeType.CUBLAS_COMPUTE_32F,
            ALGORITHM);
    assertThat(status).isZero();
    float[] actual = download(F32, out, 15);
    assertThatThrownBy(
            () -> assertProduct(c, rounded(BF16, a), rounded(BF16, b), before, actual, 0x1p-24))
        .isInstanceOf(AssertionError.class);
  }

  @Test
  void sgemmComputesInFullPrecisionUnlessToldOtherwise() {
    Case c = new Case(F32, F32, 16, 16, 64, 0, 0, 1, 0, 0);
    float[] a = random(c.sizeA(), 1);
    float[] b = random(c.sizeB(), 2);
    CUdeviceptr left = upload(F32, a);
    CUdeviceptr right = upload(F32, b);
    CUdeviceptr out = upload(F32, new float[256]);
    for (int mode :
        new int[] {cublasMath.CUBLAS_DEFAULT_MATH, cublasMath.CUBLAS_TF32_TENSOR_OP_MATH}) {
      assertThat(JCublas2.cublasSetMathMode(handle, mode)).isZero();
      assertThat(
              JCublas2.cublasSgemm(
                  handle, 0, 0, 16, 16, 64, scalar(1), left, 16, right, 64, scalar(0), out, 16))
          .isZero();
      float[] actual = download(F32, out, 256);
      assertProduct(c, a, b, new float[256], actual, mode == 0 ? 0x1p-24 : 0x1p-10);
      if (mode != 0) {
        // TF32 keeps 10 bits of a fraction, which is seen: the two modes are not the same one.
        assertThatThrownBy(() -> assertProduct(c, a, b, new float[256], actual, 0x1p-24))
            .isInstanceOf(AssertionError.class);
      }
    }
  }

  @Test
  void int8IsExact() {
    int m = 12;
    int n = 8;
    int k = 260;
    Random random = new Random(7);
    byte[] a = new byte[m * k];
    byte[] b = new byte[k * n];
    random.nextBytes(a);
    random.nextBytes(b);
    CUdeviceptr left = device.allocate(a.length);
    CUdeviceptr right = device.allocate(b.length);
    CUdeviceptr out = device.allocate(4L * m * n);
    TestDevice.check(JCudaDriver.cuMemcpyHtoD(left, Pointer.to(a), a.length));
    TestDevice.check(JCudaDriver.cuMemcpyHtoD(right, Pointer.to(b), b.length));
    int status =
        JCublas2.cublasGemmEx_new(
            handle,
            1,
            0,
            m,
            n,
            k,
            Pointer.to(new int[] {1}),
            left,
            cudaDataType.CUDA_R_8I,
            k,
            right,
            cudaDataType.CUDA_R_8I,
            k,
            Pointer.to(new int[] {0}),
            out,
            cudaDataType.CUDA_R_32I,
            m,
            cublasComputeType.CUBLAS_COMPUTE_32I,
            ALGORITHM);
    assertThat(status).isZero();
    int[] actual = new int[m * n];
    TestDevice.check(JCudaDriver.cuMemcpyDtoH(Pointer.to(actual), out, 4L * m * n));
    int[] expected = new int[m * n];
    for (int row = 0; row < m; row++) {
      for (int column = 0; column < n; column++) {
        for (int i = 0; i < k; i++) {
          expected[column * m + row] += a[row * k + i] * b[column * k + i];
        }
      }
    }
    assertThat(actual).containsExactly(expected);
  }

  /** A batch whose A is the same matrix for all, as a weight is. */
  @Test
  void stridedBatchesAreSingleProducts() {
    Case c = new Case(F16, F32, 6, 5, 40, 1, 0, 1, 0, 2);
    int batches = 3;
    float[] a = random(c.sizeA(), 1);
    float[] b = random(batches * c.sizeB(), 2);
    int sizeC = c.leadingC() * c.n();
    CUdeviceptr out = upload(F32, new float[batches * sizeC]);
    int status =
        JCublas2.cublasGemmStridedBatchedEx_new(
            handle,
            1,
            0,
            6,
            5,
            40,
            scalar(1),
            upload(F16, a),
            F16,
            c.leadingA(),
            0,
            upload(F16, b),
            F16,
            c.leadingB(),
            c.sizeB(),
            scalar(0),
            out,
            F32,
            c.leadingC(),
            sizeC,
            batches,
            cublasComputeType.CUBLAS_COMPUTE_32F,
            ALGORITHM);
    assertThat(status).isZero();
    float[] actual = download(F32, out, batches * sizeC);
    for (int batch = 0; batch < batches; batch++) {
      assertProduct(
          c,
          rounded(F16, a),
          rounded(F16, Arrays.copyOfRange(b, batch * c.sizeB(), (batch + 1) * c.sizeB())),
          new float[sizeC],
          Arrays.copyOfRange(actual, batch * sizeC, (batch + 1) * sizeC),
          0x1p-24);
    }
  }

  @Test
  void sgemvEqualsDoublePrecision() {
    for (int transpose = 0; transpose < 2; transpose++) {
      // As a product with one column: y [m] = A x, or A^T x.
      Case c = new Case(F32, F32, 37, 1, 19, transpose, 0, 2, -1, 0);
      float[] a = random(c.sizeA(), 1);
      float[] x = random(19, 2);
      float[] y = random(37, 3);
      CUdeviceptr out = upload(F32, y);
      int rows = c.rowsA();
      assertThat(
              JCublas2.cublasSgemv(
                  handle,
                  transpose,
                  rows,
                  c.sizeA() / rows,
                  scalar(2),
                  upload(F32, a),
                  rows,
                  upload(F32, x),
                  1,
                  scalar(-1),
                  out,
                  1))
          .isZero();
      assertProduct(c, a, x, y, download(F32, out, 37), 0x1p-24);
    }
  }

  /**
   * Each element against the sum in double precision. Products of F16 and BF16 are exact in F32; a
   * sum of k terms, in whatever order, is off by at most k roundings of the sum of magnitudes, plus
   * alpha, beta and the addition; with inputs rounded to `unit`, each product by two of those more.
   * The output rounds once. Between columns nothing changes.
   */
  private static void assertProduct(
      Case c, float[] a, float[] b, float[] before, float[] actual, double unit) {
    double outputUnit =
        switch (c.out()) {
          case F16 -> 0x1p-11;
          case BF16 -> 0x1p-8;
          default -> 0x1p-24;
        };
    for (int column = 0; column < c.n(); column++) {
      for (int row = 0; row < c.leadingC(); row++) {
        int at = column * c.leadingC() + row;
        if (row >= c.m()) {
          assertThat(actual[at]).as("between columns, element %d", at).isEqualTo(before[at]);
          continue;
        }
        double sum = 0;
        double magnitude = 0;
        for (int i = 0; i < c.k(); i++) {
          double left = a[c.opA() == 0 ? i * c.leadingA() + row : row * c.leadingA() + i];
          double right = b[c.opB() == 0 ? column * c.leadingB() + i : i * c.leadingB() + column];
          sum += left * right;
          magnitude += Math.abs(left * right);
        }
        double expected = c.alpha() * sum + c.beta() * before[at];
        double scale = Math.abs(c.alpha()) * magnitude + Math.abs(c.beta() * before[at]);
        double bound =
            (c.k() + 4) * 0x1p-24 * scale
                + 2 * unit * scale
                + outputUnit * Math.abs(expected)
                + 0x1p-25;
        assertThat(Math.abs(actual[at] - expected))
            .as("row %d, column %d: %s, expected %s", row, column, actual[at], expected)
            .isLessThanOrEqualTo(bound);
      }
    }
  }

  private static Pointer scalar(float value) {
    return Pointer.to(new float[] {value});
  }

  private CUdeviceptr upload(int type, float[] values) {
    return type == F32 ? device.upload(values) : device.upload(narrowed(type, values));
  }

  private float[] download(int type, CUdeviceptr from, int count) {
    return type == F32
        ? device.downloadFloats(from, count)
        : widened(type, device.downloadShorts(from, count));
  }

  private static float[] rounded(int type, float[] values) {
    return type == F32 ? values : widened(type, narrowed(type, values));
  }

  private static short[] narrowed(int type, float[] values) {
    short[] bits = new short[values.length];
    for (int i = 0; i < bits.length; i++) {
      int raw = Float.floatToRawIntBits(values[i]);
      bits[i] =
          type == F16
              ? Float.floatToFloat16(values[i])
              : (short) ((raw + 0x7fff + (raw >>> 16 & 1)) >>> 16);
    }
    return bits;
  }

  private static float[] widened(int type, short[] bits) {
    float[] values = new float[bits.length];
    for (int i = 0; i < bits.length; i++) {
      values[i] = type == F16 ? Float.float16ToFloat(bits[i]) : Float.intBitsToFloat(bits[i] << 16);
    }
    return values;
  }

  private static float[] random(int count, long seed) {
    Random random = new Random(seed);
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }
}
