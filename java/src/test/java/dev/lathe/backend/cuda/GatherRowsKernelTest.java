package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** cuda-kernels/gather_rows.cu: copies, bit by bit. */
@Tag("cuda")
class GatherRowsKernelTest {
  private static final int X_ROWS = 9;

  /** What takes the place of a call of RowKernels. */
  interface Gather {
    void run(CudaBench bench, Tensor out, Tensor x, Tensor rows);
  }

  private static final Gather RIGHT =
      (bench, out, x, rows) ->
          new RowKernels(bench.kernels, bench.context.limits()).gatherRows(out, x, rows);

  @Test
  void rowsAreCopied() {
    for (String order : CudaBench.orders()) {
      for (int cols : RowTensors.COLS) {
        for (int[] rows : new int[][] {{0}, {8}, {0, 3, 4, 8}, {8, 8, 0}, {}}) {
          check(cols, rows, order, cols % 3 == 1, RIGHT);
        }
      }
      check(8, new int[] {5, 2}, order, true, RIGHT);
      check(5000, new int[] {5, 2}, order, false, RIGHT);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void canaryAWrongRowIsCaught(int defect) {
    check(33, new int[] {0, 3}, "forward", false, withDefect(0));
    assertThatThrownBy(() -> check(33, new int[] {0, 3}, "forward", false, withDefect(defect)))
        .isInstanceOf(AssertionError.class);
  }

  private static Gather withDefect(int defect) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    return (bench, out, x, rows) ->
        bench
            .kernels
            .get("test/row_faults", "gather_rows_with_defect")
            .pointer(out)
            .pointer(x)
            .pointer(rows)
            .i32((int) x.size(0))
            .i32((int) x.size(1))
            .i32(defect)
            .launch(rows.size(0), 1, 1, 32, 0);
  }

  private static void check(int cols, int[] ids, String order, boolean shifted, Gather gather) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      RowTensors t = new RowTensors(bench, cols);
      Tensor x = t.normal(X_ROWS, cols);
      Tensor rows = bench.integers(ids);
      Tensor expected = bench.host(DType.F32, ids.length, cols);
      reference.gatherRows(expected, x, rows);
      // Filled, so that what isn't written is wrong and not only unknown.
      Tensor out = t.up(t.normal(ids.length, cols), shifted);
      gather.run(bench, out, t.up(x, shifted), bench.up(rows));
      if (ids.length > 0) {
        RowTensors.assertClose("gatherRows", bench.down(out), expected, (r, c) -> 0);
      }
    } finally {
      CudaBench.setOrder("forward");
    }
  }
}
