package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * cuda-kernels/embedding.cu against double precision: rows of each format, equal to the last bit.
 */
@Tag("cuda")
class EmbeddingKernelTest {
  private static final int ROWS = 5;

  /** Formats of tables, made with {@code ROWS} rows a part. */
  enum Table {
    F32,
    F16,
    BF16,
    INT8_F32,
    INT8_BF16,
    INT8_BF16_ASYMMETRIC,
    INT8_GROUPS_OF_16,
    INT8_GROUPS_OF_5_ASYMMETRIC,
    BITMAP_F32,
    BITMAP_F16,
    BITMAP_BF16,
    BITMAP_INT8,
    BITMAP_INT8_ASYMMETRIC,
    STACKED;

    Weight make(RowTensors t, long cols) {
      return switch (this) {
        case F32 -> t.dense(DType.F32, ROWS, cols);
        case F16 -> t.dense(DType.F16, ROWS, cols);
        case BF16 -> t.dense(DType.BF16, ROWS, cols);
        case INT8_F32 -> t.int8(DType.F32, false, cols, ROWS, cols);
        case INT8_BF16 -> t.int8(DType.BF16, false, cols, ROWS, cols);
        case INT8_BF16_ASYMMETRIC -> t.int8(DType.BF16, true, cols, ROWS, cols);
        case INT8_GROUPS_OF_16 -> t.int8(DType.F32, false, 16, ROWS, cols);
        case INT8_GROUPS_OF_5_ASYMMETRIC -> t.int8(DType.BF16, true, 5, ROWS, cols);
        case BITMAP_F32 -> t.bitmap(DType.F32, DType.F32, false, 0.5, ROWS, cols);
        case BITMAP_F16 -> t.bitmap(DType.F16, DType.F32, false, 0.1, ROWS, cols);
        case BITMAP_BF16 -> t.bitmap(DType.BF16, DType.F32, false, 0.5, ROWS, cols);
        case BITMAP_INT8 -> t.bitmap(DType.I8, DType.F32, false, 0.5, ROWS, cols);
        case BITMAP_INT8_ASYMMETRIC -> t.bitmap(DType.I8, DType.BF16, true, 0.5, ROWS, cols);
        case STACKED ->
            new Weight.Stacked(
                List.of(
                    BF16.make(t, cols),
                    INT8_GROUPS_OF_5_ASYMMETRIC.make(t, cols),
                    BITMAP_INT8_ASYMMETRIC.make(t, cols),
                    F32.make(t, cols)));
      };
    }

    /** A bitmap's columns are ranked 8,192 at a time. */
    int[] cols() {
      return name().startsWith("BITMAP")
          ? new int[] {1, 7, 8, 31, 32, 33, 172, 257, 1029, 8192, 8195, 16_500}
          : RowTensors.COLS;
    }
  }

  /** What takes the place of a call of RowKernels. */
  interface Embedding {
    void run(CudaBench bench, Tensor out, Weight table, Tensor tokens, boolean add);
  }

  private static final Embedding RIGHT =
      (bench, out, table, tokens, add) -> {
        RowKernels rows = new RowKernels(bench.kernels, bench.context.limits());
        if (add) {
          rows.addEmbedding(out, table, tokens);
        } else {
          rows.embed(out, table, tokens);
        }
      };

  @ParameterizedTest
  @EnumSource
  void rowsAreTheReferences(Table format) {
    for (String order : CudaBench.orders()) {
      for (int cols : format.cols()) {
        check(format, cols, order, cols % 3 == 1, RIGHT);
      }
    }
  }

  /** Where a thread takes four columns, and their memory doesn't start where four may. */
  @ParameterizedTest
  @EnumSource
  void unalignedTables(Table format) {
    check(format, 64, "forward", true, RIGHT);
    check(format, 64, "reverse", false, RIGHT);
  }

  @Test
  void aTokenThatNoPartHasLeavesItsRow() {
    try (CudaBench bench = new CudaBench()) {
      RowTensors t = new RowTensors(bench, "outside");
      Weight table = Table.STACKED.make(t, 12);
      Tensor before = t.normal(3, 12);
      Tensor out = bench.up(before);
      RowKernels rows = new RowKernels(bench.kernels, bench.context.limits());
      Tensor tokens = bench.up(bench.integers(-1, Math.toIntExact(table.rows()), 1 << 30));
      rows.embed(out, t.up(table, false), tokens);
      rows.addEmbedding(out, t.up(table, false), tokens);
      assertThat(bench.down(out).memory().mismatch(before.memory())).isEqualTo(-1);
    }
  }

  @Test
  void noTokensAreNoLaunch() {
    try (CudaBench bench = new CudaBench()) {
      RowTensors t = new RowTensors(bench, "none");
      new RowKernels(bench.kernels, bench.context.limits())
          .embed(
              bench.device(DType.F32, 0, 8),
              t.up(t.dense(DType.F32, 2, 8), false),
              bench.device(DType.I32, 0));
      bench.context.synchronize();
    }
  }

  @Test
  void aTableOfStridedRowsIsRefused() {
    try (CudaBench bench = new CudaBench()) {
      Weight strided = new Weight.Dense(bench.device(DType.F32, 4, 8).columns(0, 4));
      RowKernels rows = new RowKernels(bench.kernels, bench.context.limits());
      Tensor out = bench.device(DType.F32, 1, 4);
      Tensor tokens = bench.up(bench.integers(0));
      assertThatThrownBy(() -> rows.embed(out, strided, tokens))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("not contiguous");
    }
  }

  /** Defects of the planted kernel; 0 is none. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 5})
  void canaryAWrongRankIsCaught(int defect) {
    check(Table.BITMAP_F32, 1030, "forward", false, bitmapWith(0));
    assertThatThrownBy(() -> check(Table.BITMAP_F32, 1030, "forward", false, bitmapWith(defect)))
        .isInstanceOf(AssertionError.class);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4})
  void canaryAWrongScaleIsCaught(int defect) {
    Table format = Table.INT8_GROUPS_OF_5_ASYMMETRIC;
    check(format, 33, "forward", false, int8With(0));
    assertThatThrownBy(() -> check(format, 33, "forward", false, int8With(defect)))
        .isInstanceOf(AssertionError.class);
  }

  private static Embedding bitmapWith(int defect) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    return (bench, out, table, tokens, add) -> {
      Weight.Bitmap bitmap = (Weight.Bitmap) table;
      bench
          .kernels
          .get("test/row_faults", "bitmap_embedding_with_defect")
          .pointer(out)
          .pointer(tokens)
          .i32(add ? 1 : 0)
          .pointer(bitmap.bitmap())
          .pointer(bitmap.rowOffsets())
          .pointer(bitmap.values())
          .i32(Math.toIntExact(bitmap.cols()))
          .i32(defect)
          .launch(tokens.size(0), 1, 1, 32, 0);
    };
  }

  private static Embedding int8With(int defect) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    return (bench, out, table, tokens, add) -> {
      Weight.Int8 int8 = (Weight.Int8) table;
      bench
          .kernels
          .get("test/row_faults", "int8_embedding_with_defect")
          .pointer(out)
          .pointer(tokens)
          .i32(add ? 1 : 0)
          .pointer(int8.values())
          .pointer(int8.scales())
          .pointer(int8.zeroPoints().orElseThrow())
          .i32(Math.toIntExact(int8.scales().size(1)))
          .i32((int) int8.groupSize())
          .i32(Math.toIntExact(int8.cols()))
          .i32(defect)
          .launch(tokens.size(0), 1, 1, 32, 0);
    };
  }

  private static void check(
      Table format, int cols, String order, boolean shifted, Embedding embedding) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      String what = "%s %d columns, %s, shifted %s".formatted(format, cols, order, shifted);
      RowTensors t = new RowTensors(bench, what);
      Weight table = format.make(t, cols);
      Weight deviceTable = t.up(table, shifted);
      // Every row of every part, the last and the first again, in no order.
      int rows = Math.toIntExact(table.rows());
      int[] ids = new int[rows + 2];
      for (int i = 0; i < ids.length; i++) {
        ids[i] = (i * 3 + rows - 1) % rows;
      }
      Tensor tokens = bench.integers(ids);
      Tensor deviceTokens = bench.up(tokens);
      Tensor expected = bench.host(DType.F32, ids.length, cols);
      reference.embed(expected, table, tokens);
      Tensor out = t.device(shifted, ids.length, cols);
      embedding.run(bench, out, deviceTable, deviceTokens, false);
      // (q - zero) is exact, and so one product and one rounding are what the reference has too.
      RowTensors.assertClose("embed " + what, bench.down(out), expected, (r, c) -> 0);

      Tensor before = t.normal(ids.length, cols);
      Tensor sum = bench.copy(before);
      reference.addEmbedding(sum, table, tokens);
      Tensor added = t.up(before, shifted);
      embedding.run(bench, added, deviceTable, deviceTokens, true);
      // The value and the sum are rounded here, the sum once more in the reference.
      RowTensors.assertClose(
          "addEmbedding " + what,
          bench.down(added),
          sum,
          (r, c) ->
              RowTensors.U
                  * (3 * Math.abs(CudaBench.at(sum, r * cols + c))
                      + Math.abs(CudaBench.at(before, r * cols + c))));
    } finally {
      CudaBench.setOrder("forward");
    }
  }
}
