package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Whichever kernels were faster, products are as exact; and the trial that finds out runs. */
@Tag("cuda")
class CudaLinearTest {
  /** What x as two bf16 of 8 bits each leaves out of it. */
  private static final double TWO_BF16 = 0x1p-18;

  private static final LinearCase CASE =
      LinearCase.of(LinearCase.Format.dense(DType.BF16), 37, 160, 20).with(true, Epilogue.ADD, 0);

  @BeforeEach
  void withCublas() {
    CublasLibrary.whyUnusable()
        .ifPresent(why -> assumeTrue(false, () -> "cuBLAS can't be used: " + why));
  }

  private interface Prepare {
    void run(Dispatcher dispatcher, Dispatcher.Product product);
  }

  private static Dispatcher.Decision check(LinearCase c, boolean timed, Prepare prepare) {
    try (CudaBench bench = new CudaBench();
        CudaPool pool = CudaMemory.newPool(bench.context);
        CudaGraphs graphs = new CudaGraphs(bench.context);
        CudaLinear linear =
            CudaLinear.open(
                bench.context,
                bench.kernels,
                () -> new CudaWorkspace(bench.context, pool, graphs),
                () -> new CudaMemory(bench.context, pool, _ -> {}),
                timed)) {
      LinearCase.Data data = c.make(bench);
      Linear layer = c.up(bench, data.layer());
      Tensor out = bench.up(data.wholeOut());
      Tensor x = bench.up(data.wholeX());
      Dispatcher.Product product =
          new Dispatcher.Product(layer.weight().format(), c.tokens(), c.rows(), c.cols());
      prepare.run(linear.dispatcher(), product);
      linear.linear(c.inside(out), c.inside(x), layer, c.epilogue());
      c.assertClose(c.toString(), bench.down(out), c.expected(bench, data), data, arithmetic(c));
      return linear.dispatcher().choose(product);
    }
  }

  /** Both parts of x, by whichever kernels: 16 columns an instruction, stages of 128 columns. */
  private static LinearCase.Arithmetic arithmetic(LinearCase c) {
    return LinearCase.Arithmetic.tensorCores(
        2 * Math.ceilDiv(c.cols(), 16), 2 * Math.ceilDiv(c.cols(), 128) + 8, TWO_BF16);
  }

  @Test
  void whicheverIsFasterIsAsExact() {
    assertThat(check(CASE, false, (d, product) -> d.measured(product, 1, 2)).choice())
        .isEqualTo(Dispatcher.Choice.OWN);
    assertThat(check(CASE, false, (d, product) -> d.measured(product, 2, 1)).choice())
        .isEqualTo(Dispatcher.Choice.CUBLAS);
  }

  /** Both parts of x through cuBLAS: odd sizes, rows apart, with and without bias and adding. */
  @Test
  void cublasInTwoPartsOverEdgeShapes() {
    for (int cols : new int[] {1, 17, 160}) {
      for (int rows : new int[] {1, 37, 300}) {
        for (int tokens : new int[] {9, 33, 64}) {
          LinearCase c = LinearCase.of(LinearCase.Format.dense(DType.BF16), rows, cols, tokens);
          assertThat(check(c, false, (d, product) -> d.measured(product, 2, 1)).choice())
              .as(c.toString())
              .isEqualTo(Dispatcher.Choice.CUBLAS);
        }
      }
    }
  }

  /** More rows are rounded to BF16, which the same comparison must see. */
  @Test
  void canaryRoundedActivationsAreSeen() {
    LinearCase many =
        LinearCase.of(LinearCase.Format.dense(DType.BF16), 37, 160, 65).with(true, Epilogue.ADD, 0);
    assertThatThrownBy(() -> check(many, false, (_, _) -> {})).isInstanceOf(AssertionError.class);
  }

  @Test
  void aTrialDecides() {
    Dispatcher.Decision decision = check(CASE, true, (d, p) -> assertThat(d.isOpen(p)).isTrue());
    assertThat(decision.reason()).startsWith("measured: ");
    assertThat(decision.precision()).isEqualTo(Dispatcher.Precision.TWO_PARTS);
  }
}
