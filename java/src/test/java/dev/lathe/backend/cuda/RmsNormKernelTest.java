package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUresult;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** cuda-kernels/rms_norm.cu against double precision, on whatever device there is. */
@Tag("cuda")
class RmsNormKernelTest {
  private static final float EPS = 1e-5f;

  static List<Arguments> shapes() {
    List<Arguments> shapes = new ArrayList<>();
    for (String kernel : List.of("rms_norm_warp", "rms_norm_block")) {
      for (int cols : new int[] {1, 7, 8, 64, 172, 4096, 4099}) {
        shapes.add(Arguments.of(kernel, 1, cols));
        shapes.add(Arguments.of(kernel, 5, cols));
      }
      shapes.add(Arguments.of(kernel, 333, 64));
      shapes.add(Arguments.of(kernel, 100, 7));
    }
    return shapes;
  }

  @ParameterizedTest(name = "{0} f32 [{1}, {2}]")
  @MethodSource("shapes")
  void f32EqualsDoublePrecision(String kernel, int rows, int cols) {
    float[] x = random(rows * cols, cols);
    float[] w = random(cols, 1);
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr out = device.allocate(4L * rows * cols);
      launch(
          device,
          device.function("rms_norm", kernel + "_f32"),
          out,
          device.upload(x),
          device.upload(w),
          rows,
          cols);
      float[] actual = device.downloadFloats(out, rows * cols);
      assertClose(actual, reference(x, w, rows, cols), tolerance(cols, 0x1p-24));
    }
  }

  @ParameterizedTest(name = "{0} bf16 [{1}, {2}]")
  @MethodSource("shapes")
  void bf16EqualsDoublePrecision(String kernel, int rows, int cols) {
    short[] x = toBf16(random(rows * cols, cols));
    short[] w = toBf16(random(cols, 1));
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr out = device.allocate(2L * rows * cols);
      launch(
          device,
          device.function("rms_norm", kernel + "_bf16"),
          out,
          device.upload(x),
          device.upload(w),
          rows,
          cols);
      float[] actual = fromBf16(device.downloadShorts(out, rows * cols));
      double[] expected = reference(fromBf16(x), fromBf16(w), rows, cols);
      assertClose(actual, expected, tolerance(cols, 0x1p-8));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {7, 64, 4096, 4099})
  void canaryASumThatMissesOneColumnIsCaught(int cols) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    float[] x = random(2 * cols, cols);
    float[] w = random(cols, 1);
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr out = device.allocate(8L * cols);
      CUfunction wrong = device.function("test/faults", "rms_norm_without_last_column_f32");
      launch(device, wrong, out, device.upload(x), device.upload(w), 2, cols);
      float[] actual = device.downloadFloats(out, 2 * cols);
      double[] expected = reference(x, w, 2, cols);
      assertThatThrownBy(() -> assertClose(actual, expected, tolerance(cols, 0x1p-24)))
          .isInstanceOf(AssertionError.class);
    }
  }

  private static void launch(
      TestDevice device,
      CUfunction function,
      CUdeviceptr out,
      CUdeviceptr x,
      CUdeviceptr w,
      int rows,
      int cols) {
    int result =
        device.run(
            function,
            3, // fewer blocks than rows: the grid has to stride
            128,
            0,
            Pointer.to(out),
            Pointer.to(x),
            Pointer.to(w),
            Pointer.to(new long[] {rows}),
            Pointer.to(new int[] {cols}),
            Pointer.to(new float[] {EPS}));
    assertThat(CUresult.stringFor(result)).isEqualTo("CUDA_SUCCESS");
  }

  /**
   * How far a result may be off, relative to itself. A lane adds at most cols / 32 squares, rounded
   * up to a pack of 8, one after another, and 5 to 10 steps add the lanes and warps: each step errs
   * by one rounding of a sum of one sign, each square by one more; the root halves that. Added: the
   * mean, eps, rsqrt (2 ulp on the GPU) and two products, and the rounding to the output's format,
   * 2^-24 or 2^-8.
   */
  private static double tolerance(int cols, double outputRounding) {
    double steps = Math.ceil(cols / 256.0) * 8 + 10;
    return (steps / 2 + 6) * 0x1p-24 + outputRounding * (1 + 0x1p-10);
  }

  private static void assertClose(float[] actual, double[] expected, double tolerance) {
    assertThat(actual).hasSize(expected.length);
    for (int i = 0; i < expected.length; i++) {
      assertThat(Math.abs(actual[i] - expected[i]))
          .as("element %d: %s, expected %s", i, actual[i], expected[i])
          .isLessThanOrEqualTo(Math.abs(expected[i]) * tolerance);
    }
  }

  private static double[] reference(float[] x, float[] w, int rows, int cols) {
    double[] out = new double[rows * cols];
    for (int r = 0; r < rows; r++) {
      double sum = 0;
      for (int c = 0; c < cols; c++) {
        sum += (double) x[r * cols + c] * x[r * cols + c];
      }
      double factor = 1 / Math.sqrt(sum / cols + EPS);
      for (int c = 0; c < cols; c++) {
        out[r * cols + c] = x[r * cols + c] * factor * w[c];
      }
    }
    return out;
  }

  private static float[] random(int count, long seed) {
    Random random = new Random(seed);
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  private static short[] toBf16(float[] values) {
    short[] bits = new short[values.length];
    for (int i = 0; i < values.length; i++) {
      int raw = Float.floatToRawIntBits(values[i]);
      bits[i] = (short) ((raw + 0x7fff + (raw >>> 16 & 1)) >>> 16);
    }
    return bits;
  }

  private static float[] fromBf16(short[] bits) {
    float[] values = new float[bits.length];
    for (int i = 0; i < bits.length; i++) {
      values[i] = Float.intBitsToFloat(bits[i] << 16);
    }
    return values;
  }
}
