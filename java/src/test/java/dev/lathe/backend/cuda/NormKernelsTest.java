package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * rms_norm.cu, layer_norm.cu and norm_heads.cu, as RowKernels calls them, against double precision.
 */
@Tag("cuda")
class NormKernelsTest {

  enum Norm {
    RMS(0),
    ADD_RMS(1),
    LAYER(2);

    /** As the planted kernel calls it. */
    final int number;

    Norm(int number) {
      this.number = number;
    }
  }

  /** What takes the place of a call of RowKernels. */
  interface Call {
    void run(CudaBench bench, Norm norm, Tensor out, Tensor x, Tensor w, Tensor b, float epsilon);
  }

  private static final Call RIGHT =
      (bench, norm, out, x, w, b, epsilon) -> {
        RowKernels rows = new RowKernels(bench.kernels, bench.context.limits());
        switch (norm) {
          case RMS -> rows.rmsNorm(out, x, w, epsilon);
          case ADD_RMS -> rows.addRmsNorm(out, x, w, epsilon);
          case LAYER -> rows.layerNorm(out, x, w, b, epsilon);
        }
      };

  @ParameterizedTest
  @EnumSource
  void rowsAreTheReferences(Norm norm) {
    for (String order : CudaBench.orders()) {
      for (int cols : RowTensors.COLS) {
        check(norm, 1, cols, order, false, RIGHT);
        check(norm, 3, cols, order, true, RIGHT);
      }
      check(norm, 2, 4096, order, false, RIGHT);
      check(norm, 300, 40, order, false, RIGHT);
    }
  }

  /** So many rows that a warp has one where a block had it before. */
  @ParameterizedTest
  @EnumSource
  void manyRows(Norm norm) {
    try (CudaBench bench = new CudaBench()) {
      DeviceLimits limits = bench.context.limits();
      int rows = limits.multiprocessors() * 32;
      assertThat(RowGeometry.ofNorm(limits, rows, 132).warps()).isTrue();
      assertThat(RowGeometry.ofNorm(limits, rows - 1, 132).warps()).isFalse();
      check(norm, rows, 132, "forward", false, RIGHT);
      check(norm, rows - 1, 132, "forward", false, RIGHT);
    }
  }

  @Test
  void inPlace() {
    for (Norm norm : new Norm[] {Norm.RMS, Norm.LAYER}) {
      for (int cols : new int[] {7, 64, 1029, 4096}) {
        Call inPlace =
            (bench, which, out, x, w, b, epsilon) -> {
              RIGHT.run(bench, which, x, x, w, b, epsilon);
              new RowKernels(bench.kernels, bench.context.limits())
                  .gatherRows(out, x, bench.up(bench.integers(IntStream.range(0, 3).toArray())));
            };
        check(norm, 3, cols, "random:3", false, inPlace);
      }
    }
  }

  /** What has no variance is where the mean's rounding would show. */
  @Test
  void layerNormOfWhatIsFarFromZero() {
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      RowTensors t = new RowTensors(bench, "far");
      Tensor x = t.normal(4, 1024);
      for (long i = 0; i < x.elements(); i++) {
        Floats.set(x.memory(), DType.F32, i, (float) (1000 + CudaBench.at(x, i)));
      }
      Tensor w = t.normal(1024);
      Tensor b = t.normal(1024);
      Tensor expected = bench.host(DType.F32, 4, 1024);
      reference.layerNorm(expected, x, w, b, 1e-5f);
      Tensor out = bench.device(DType.F32, 4, 1024);
      RIGHT.run(bench, Norm.LAYER, out, bench.up(x), bench.up(w), bench.up(b), 1e-5f);
      RowTensors.assertClose("far", bench.down(out), expected, layerBound(x, w, b, 1e-5f));

      // mean(x^2) - mean^2 in F32 has no digit left.
      assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is for the emulated GPU only");
      withDefect(3).run(bench, Norm.LAYER, out, bench.up(x), bench.up(w), bench.up(b), 1e-5f);
      Tensor wrong = bench.down(out);
      assertThatThrownBy(
              () -> RowTensors.assertClose("far", wrong, expected, layerBound(x, w, b, 1e-5f)))
          .isInstanceOf(AssertionError.class);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "RMS, 1",
    "RMS, 2",
    "RMS, 4",
    "ADD_RMS, 1",
    "ADD_RMS, 2",
    "ADD_RMS, 4",
    "ADD_RMS, 5",
    "LAYER, 1",
    "LAYER, 2",
    "LAYER, 4",
    "LAYER, 6"
  })
  void canaryAWrongNormIsCaught(Norm norm, int defect) {
    check(norm, 3, 173, "forward", false, withDefect(0));
    assertThatThrownBy(() -> check(norm, 3, 173, "forward", false, withDefect(defect)))
        .isInstanceOf(AssertionError.class);
  }

  private static Call withDefect(int defect) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    return (bench, norm, out, x, w, b, epsilon) ->
        bench
            .kernels
            .get("test/row_faults", "norm_with_defect")
            .pointer(out)
            .pointer(x)
            .pointer(w)
            .pointer(b)
            .i32((int) x.size(1))
            .f32(epsilon)
            .i32(norm.number)
            .i32(defect)
            .launch(x.size(0), 1, 1, 32, 0);
  }

  private static void check(
      Norm norm, int rows, int cols, String order, boolean shifted, Call call) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      String what = "%s [%d, %d] %s, shifted %s".formatted(norm, rows, cols, order, shifted);
      RowTensors t = new RowTensors(bench, what);
      float epsilon = cols % 2 == 0 ? 1e-5f : 0.5f;
      Tensor x = t.normal(rows, cols);
      Tensor w = t.normal(cols);
      Tensor b = t.normal(cols);
      Tensor before = t.normal(rows, cols);
      Tensor expected = bench.copy(before);
      Tensor out = norm == Norm.ADD_RMS ? t.up(before, shifted) : t.device(shifted, rows, cols);
      switch (norm) {
        case RMS -> reference.rmsNorm(expected, x, w, epsilon);
        case ADD_RMS -> reference.addRmsNorm(expected, x, w, epsilon);
        case LAYER -> reference.layerNorm(expected, x, w, b, epsilon);
      }
      call.run(bench, norm, out, t.up(x, shifted), t.up(w, shifted), t.up(b, shifted), epsilon);
      RowTensors.Bound bound =
          switch (norm) {
            case RMS -> rmsBound(expected, cols);
            case ADD_RMS ->
                (r, c) -> {
                  // The norm's value with its error, and the sum, which is rounded here and there.
                  double sum = CudaBench.at(expected, r * cols + c);
                  double normed = Math.abs(sum) + Math.abs(CudaBench.at(before, r * cols + c));
                  return relative(cols) * normed + 2 * RowTensors.U * Math.abs(sum);
                };
            case LAYER -> layerBound(x, w, b, epsilon);
          };
      RowTensors.assertClose(what, bench.down(out), expected, bound);
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  /**
   * A thread adds up at least 32 squares less than all, in steps of one rounding each (Higham 2002,
   * section 3.1), and ten steps add lanes and warps; the root halves that. Mean, epsilon, a fast
   * reciprocal root, two products and the store are 8 more.
   */
  private static double relative(int cols) {
    return (Math.ceil(cols / 32.0) / 2 + 5 + 8) * RowTensors.U;
  }

  private static RowTensors.Bound rmsBound(Tensor expected, int cols) {
    return (r, c) ->
        relative(cols) * Math.abs(CudaBench.at(expected, r * expected.size(1) + c))
            + RowTensors.TINY;
  }

  /**
   * The mean is wrong by at most {@code s u mean|x|}, s the steps of its sum, and so is each
   * centred value, whose subtraction adds {@code u |x|}; the factor divides by the deviation. The
   * variance is wrong by the square of that and by its own sum, halved by the root.
   */
  private static RowTensors.Bound layerBound(Tensor x, Tensor w, Tensor b, float epsilon) {
    int cols = (int) x.size(1);
    return (r, c) -> {
      double sum = 0;
      double magnitude = 0;
      for (int i = 0; i < cols; i++) {
        double value = CudaBench.at(x, r * cols + i);
        sum += value;
        magnitude = Math.max(magnitude, Math.abs(value));
      }
      double squares = 0;
      for (int i = 0; i < cols; i++) {
        double centred = CudaBench.at(x, r * cols + i) - sum / cols;
        squares += centred * centred;
      }
      double deviation = Math.sqrt(squares / cols + epsilon);
      double normed = (CudaBench.at(x, r * cols + c) - sum / cols) / deviation;
      double centre = (Math.ceil(cols / 32.0) + 10 + 3) * RowTensors.U * magnitude / deviation;
      double factor = relative(cols) + centre * centre + centre;
      return Math.abs(CudaBench.at(w, c)) * (centre + Math.abs(normed) * factor)
          + 3
              * RowTensors.U
              * (Math.abs(CudaBench.at(b, c)) + Math.abs(CudaBench.at(w, c) * normed))
          + RowTensors.TINY;
    };
  }

  private interface HeadsCall {
    void run(CudaBench bench, Tensor qkv, Tensor query, Tensor key, AttentionShape shape);
  }

  private static final float HEADS_EPSILON = 1e-6f;

  private static final HeadsCall RIGHT_HEADS =
      (bench, qkv, query, key, shape) ->
          new RowKernels(bench.kernels, bench.context.limits())
              .normHeads(qkv, query, key, shape, HEADS_EPSILON);

  static Stream<AttentionShape> headShapes() {
    return IntStream.of(1, 3, 4, 8, 31, 64, 80, 128, 129, 256)
        .boxed()
        .flatMap(size -> Stream.of(heads(1, 1, size), heads(6, 2, size), heads(32, 8, size)));
  }

  private static AttentionShape heads(int heads, int kvHeads, int headDim) {
    return new AttentionShape(heads, kvHeads, headDim, 1);
  }

  @Test
  void headsAreTheReferences() {
    for (String order : CudaBench.orders()) {
      headShapes()
          .forEach(shape -> {
            checkHeads(shape, 1, order, false, RIGHT_HEADS);
            checkHeads(shape, 5, order, shape.headDim() == 64, RIGHT_HEADS);
          });
    }
  }

  @ParameterizedTest
  @CsvSource({"1", "2", "3", "4"})
  void canaryAWrongHeadIsCaught(int defect) {
    checkHeads(heads(6, 2, 32), 3, "forward", false, headsWithDefect(0));
    assertThatThrownBy(
            () -> checkHeads(heads(6, 2, 32), 3, "forward", false, headsWithDefect(defect)))
        .isInstanceOf(AssertionError.class);
  }

  private static HeadsCall headsWithDefect(int defect) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    return (bench, qkv, query, key, shape) ->
        bench
            .kernels
            .get("test/row_faults", "norm_heads_with_defect")
            .pointer(qkv)
            .pointer(query)
            .pointer(key)
            .i32(shape.heads())
            .i32(shape.kvHeads())
            .i32(shape.headDim())
            .f32(HEADS_EPSILON)
            .i32(defect)
            .launch(qkv.size(0), shape.heads() + 2 * shape.kvHeads(), 1, 32, 0);
  }

  private static void checkHeads(
      AttentionShape shape, int tokens, String order, boolean shifted, HeadsCall call) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      String what = "%s %d tokens, %s, shifted %s".formatted(shape, tokens, order, shifted);
      RowTensors t = new RowTensors(bench, what);
      Tensor qkv = t.normal(tokens, shape.queryKeyValueColumns());
      Tensor query = t.normal(shape.headDim());
      Tensor key = t.normal(shape.headDim());
      Tensor device = t.up(qkv, shifted);
      call.run(bench, device, t.up(query, shifted), t.up(key, shifted), shape);
      reference.normHeads(qkv, query, key, shape, HEADS_EPSILON);
      int values = (shape.heads() + shape.kvHeads()) * shape.headDim();
      RowTensors.Bound normed = rmsBound(qkv, shape.headDim());
      RowTensors.assertClose(
          what, bench.down(device), qkv, (r, c) -> c < values ? normed.at(r, c) : 0);
    } finally {
      CudaBench.setOrder("forward");
    }
  }
}
