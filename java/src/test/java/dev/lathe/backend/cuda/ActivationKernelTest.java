package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Activation;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** cuda-kernels/activation.cu against double precision. */
@Tag("cuda")
class ActivationKernelTest {
  /** Where exp overflows, where 1 + tanh cancels, where a cube overflows, both zeros. */
  private static final double[] EXTREMES = {
    0, -0.0, 1e-30, -1e-30, 1e-4, 5, -5, -9, 13, -13, 20, -20, 88, -88, 104, -104, 1e4, -1e4, 1e15,
    -1e15
  };

  /** What takes the place of a call of RowKernels. */
  interface Gate {
    void run(CudaBench bench, Tensor out, Tensor gateUp, Activation activation);
  }

  private static final Gate RIGHT =
      (bench, out, gateUp, activation) -> rows(bench).gate(out, gateUp, activation);

  private static RowKernels rows(CudaBench bench) {
    return new RowKernels(bench.kernels, bench.context.limits());
  }

  @ParameterizedTest
  @EnumSource
  void gateIsTheReferences(Activation activation) {
    for (String order : CudaBench.orders()) {
      for (int n : RowTensors.COLS) {
        gate(activation, 1, n, order, false, RIGHT);
        gate(activation, 5, n, order, n % 3 == 1, RIGHT);
      }
      gate(activation, 2, 2050, order, false, RIGHT);
    }
  }

  @ParameterizedTest
  @EnumSource
  void activateIsTheReferences(Activation activation) {
    for (String order : CudaBench.orders()) {
      for (int n : RowTensors.COLS) {
        for (boolean inPlace : new boolean[] {false, true}) {
          activate(activation, 3, n, order, inPlace);
        }
      }
    }
  }

  /** Rows of a wider matrix, as the kernel takes them; what lies between stays. */
  @ParameterizedTest
  @CsvSource({"64, 64, 128", "64, 68, 160", "63, 65, 127", "8, 9, 16"})
  void gateOfStridedRows(int n, int outStride, int gateUpStride) {
    int rows = 3;
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      RowTensors t = new RowTensors(bench, n);
      Tensor wide = t.normal(rows, gateUpStride);
      Tensor expected = t.normal(rows, outStride);
      Tensor out = bench.up(expected);
      for (int r = 0; r < rows; r++) {
        Tensor gateUp = wide.rows(r, r + 1).columns(0, 2L * n);
        reference.gate(expected.rows(r, r + 1).columns(0, n), gateUp, Activation.SILU);
      }
      bench
          .kernels
          .get("activation", "gate")
          .pointer(out)
          .pointer(bench.up(wide))
          .i64(rows)
          .i32(n)
          .i64(outStride)
          .i64(gateUpStride)
          .i32(RowKernels.number(Activation.SILU))
          .launch(2, 1, 1, 32, 0); // fewer blocks than rows: the grid has to stride
      RowTensors.assertClose(
          "strided",
          bench.down(out),
          expected,
          (r, c) ->
              c < n
                  ? bound(
                      Activation.SILU,
                      CudaBench.at(wide, r * gateUpStride + c),
                      CudaBench.at(expected, r * outStride + c),
                      CudaBench.at(wide, r * gateUpStride + n + c))
                  : 0);
    }
  }

  @Test
  void scaleAndSoftCapAreTheReferences() {
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      for (int n : RowTensors.COLS) {
        for (boolean shifted : new boolean[] {false, true}) {
          try (CudaBench bench = new CudaBench();
              ReferenceBackend reference = new ReferenceBackend()) {
            RowTensors t = new RowTensors(bench, n);
            Tensor x = t.normal(3, n);
            plant(x, n);
            Tensor expected = bench.copy(x);
            reference.scale(expected, 22.6274170f);
            Tensor device = t.up(x, shifted);
            rows(bench).scale(device, 22.6274170f);
            // One product, rounded once, is what the reference has too.
            RowTensors.assertClose("scale", bench.down(device), expected, (r, c) -> 0);

            Tensor capped = bench.copy(x);
            reference.softCap(capped, 3);
            Tensor deviceCapped = t.up(x, shifted);
            rows(bench).softCap(deviceCapped, 3);
            // A quotient, which tanh doesn't enlarge, tanh at 4 ulp, a product.
            RowTensors.assertClose(
                "softCap",
                bench.down(deviceCapped),
                capped,
                (r, c) ->
                    10 * RowTensors.U * Math.abs(CudaBench.at(capped, r * n + c))
                        + RowTensors.TINY);
          }
        }
      }
    }
    CudaBench.setOrder("forward");
  }

  /** Blocks go on from where the grid ends. */
  @Test
  void moreValuesThanTheGridHasThreads() {
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      RowGeometry geometry = RowGeometry.ofEach(bench.context.limits(), Long.MAX_VALUE);
      long values = 4 * geometry.blocks() * geometry.threads() + 7;
      Tensor x = new RowTensors(bench, "many").normal(1, values);
      Tensor device = bench.up(x);
      rows(bench).scale(device, 3);
      reference.scale(x, 3);
      RowTensors.assertClose("scale", bench.down(device), x, (r, c) -> 0);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "SILU, 1",
    "SILU, 2",
    "SILU, 6",
    "GELU_TANH, 1",
    "GELU_TANH, 2",
    "GELU, 1",
    "GELU, 2",
    "GELU, 3",
    "GELU_TANH, 4",
    "GELU_TANH, 5"
  })
  void canaryAWrongGateIsCaught(Activation activation, int defect) {
    if (activation != Activation.GELU_TANH) { // which cancels in the plain kernel
      gate(activation, 3, 172, "forward", false, withDefect(0));
    }
    assertThatThrownBy(() -> gate(activation, 3, 172, "forward", false, withDefect(defect)))
        .isInstanceOf(AssertionError.class);
  }

  private static Gate withDefect(int defect) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    return (bench, out, gateUp, activation) ->
        bench
            .kernels
            .get("test/row_faults", "gate_with_defect")
            .pointer(out)
            .pointer(gateUp)
            .i32((int) out.size(1))
            .i32(RowKernels.number(activation))
            .i32(defect)
            .launch(out.size(0), 1, 1, 32, 0);
  }

  private static void plant(Tensor x, int n) {
    for (int i = 0; i < Math.min(EXTREMES.length, n); i++) {
      Floats.set(x.memory(), DType.F32, i, (float) EXTREMES[i]);
    }
  }

  private static void gate(
      Activation activation, int rows, int n, String order, boolean shifted, Gate gate) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      String what = "gate %s [%d, %d], %s".formatted(activation, rows, n, order);
      RowTensors t = new RowTensors(bench, what);
      Tensor gateUp = t.normal(rows, 2L * n);
      plant(gateUp, n);
      Tensor expected = bench.host(DType.F32, rows, n);
      reference.gate(expected, gateUp, activation);
      Tensor out = t.device(shifted, rows, n);
      gate.run(bench, out, t.up(gateUp, shifted), activation);
      RowTensors.assertClose(
          what,
          bench.down(out),
          expected,
          (r, c) ->
              bound(
                  activation,
                  CudaBench.at(gateUp, r * 2 * n + c),
                  CudaBench.at(expected, r * n + c),
                  CudaBench.at(gateUp, r * 2 * n + n + c)));
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  private static void activate(
      Activation activation, int rows, int n, String order, boolean inPlace) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      String what = "activate %s [%d, %d], %s".formatted(activation, rows, n, order);
      RowTensors t = new RowTensors(bench, what);
      Tensor x = t.normal(rows, n);
      plant(x, n);
      Tensor expected = bench.host(DType.F32, rows, n);
      reference.activate(expected, x, activation);
      Tensor deviceX = t.up(x, n % 3 == 1);
      Tensor out = inPlace ? deviceX : t.device(n % 3 == 1, rows, n);
      rows(bench).activate(out, deviceX, activation);
      RowTensors.assertClose(
          what,
          bench.down(out),
          expected,
          (r, c) ->
              bound(activation, CudaBench.at(x, r * n + c), CudaBench.at(expected, r * n + c), 1));
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  /**
   * Relative to the result, because nothing cancels: exp, or erfc, at 4 ulp (8 u), a sum, a
   * quotient, products and the store; and what the rounding of exp's argument y, 6 u of it,
   * becomes: {@code |y|} times that. Of erfc(z), z = x / sqrt(2) at 2 u, it is 2 z^2 times that
   * below 0 (its tail falls like {@code exp(-z^2)}), and less above. Below the smallest normal
   * number exp and the product have fewer digits.
   */
  private static double bound(Activation activation, double x, double expected, double up) {
    double argument =
        switch (activation) {
          case SILU -> 0;
          case GELU_TANH -> 6 * 2 * Math.sqrt(2 / Math.PI) * Math.abs(x + 0.044715 * x * x * x);
          case GELU -> 2 * x * x;
        };
    return (16 + (x < 0 ? argument : 0)) * RowTensors.U * Math.abs(expected)
        + (activation == Activation.GELU_TANH ? 0x1p-52 * Math.abs(x * up) : 0)
        + RowTensors.TINY * (1 + Math.abs(up)) * (1 + Math.abs(x));
  }
}
