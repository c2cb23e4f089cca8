package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Linear layers by cuBLAS, with what stands around it: rounding, biases, strides, adding. */
@Tag("cuda")
class CublasGemmTest {
  private static final int GAP = 3;

  record Case(DType type, int rows, int outputs, int inputs, boolean bias, boolean add, int gap) {}

  static List<Case> cases() {
    List<Case> cases = new ArrayList<>();
    int n = 0;
    for (DType type : new DType[] {DType.F32, DType.BF16, DType.F16}) {
      for (int[] size : new int[][] {{1, 1, 1}, {2, 37, 172}, {65, 8, 64}, {70, 5, 7}}) {
        for (int i = 0; i < 4; i++, n++) {
          boolean add = i % 2 == 1;
          cases.add(new Case(type, size[0], size[1], size[2], i >= 2, add, n % 3 == 0 ? GAP : 0));
        }
      }
    }
    return cases;
  }

  @ParameterizedTest
  @MethodSource("cases")
  void equalsDoublePrecision(Case c) {
    CublasLibrary.whyUnusable()
        .ifPresent(why -> assumeTrue(false, () -> "cuBLAS can't be used: " + why));
    assertClose(c, run(c, c.inputs));
  }

  @Test
  void canaryWeightsWithoutTheirLastColumnAreCaught() {
    Case c = new Case(DType.F32, 3, 5, 64, false, false, 0);
    Result wrong = run(c, 63);
    assertThatThrownBy(() -> assertClose(c, wrong)).isInstanceOf(AssertionError.class);
  }

  private record Result(Tensor out, double[] expected, double[] magnitude, Tensor before) {}

  /** The product over the first {@code used} inputs, and what it should be over all. */
  private static Result run(Case c, int used) {
    Random random = new Random(c.toString().hashCode());
    try (CudaBench bench = new CudaBench();
        CudaPool pool = CudaMemory.newPool(bench.context);
        CudaGraphs graphs = new CudaGraphs(bench.context);
        CublasGemm gemm =
            new CublasGemm(
                bench.context,
                bench.kernels,
                new CudaWorkspace(bench.context, pool, graphs),
                new CudaWorkspace(bench.context, pool, graphs))) {
      Tensor x = normal(bench.host(DType.F32, c.rows, c.inputs + 2L * c.gap), random);
      Tensor weight = normal(bench.host(c.type, c.outputs, c.inputs), random);
      Tensor bias = normal(bench.host(DType.F32, c.outputs), random);
      Tensor before = normal(bench.host(DType.F32, c.rows, c.outputs + 2L * c.gap), random);
      Tensor out = bench.up(before);
      Tensor placed = bench.up(weight);
      gemm.linear(
          out.columns(c.gap, c.gap + c.outputs),
          bench.up(x).columns(c.gap, c.gap + used),
          new Linear(
              new Weight.Dense(used == c.inputs ? placed : placed.columns(0, used)),
              c.bias ? Optional.of(bench.up(bias)) : Optional.empty()),
          c.add ? Epilogue.ADD : Epilogue.STORE);
      long width = before.size(1);
      double[] expected = new double[(int) before.elements()];
      double[] magnitude = new double[expected.length];
      for (int i = 0; i < expected.length; i++) {
        long column = i % width - c.gap;
        expected[i] = CudaBench.at(before, i);
        if (column < 0 || column >= c.outputs) {
          continue; // beside the output nothing may change
        }
        double sum = c.add ? expected[i] : 0;
        magnitude[i] = Math.abs(sum);
        if (c.bias) {
          sum += CudaBench.at(bias, column);
          magnitude[i] += Math.abs(CudaBench.at(bias, column));
        }
        for (int k = 0; k < c.inputs; k++) {
          double product =
              CudaBench.at(x, i / width * x.size(1) + c.gap + k)
                  * CudaBench.at(weight, column * c.inputs + k);
          sum += product;
          magnitude[i] += Math.abs(product);
        }
        expected[i] = sum;
      }
      Tensor host = bench.down(out);
      float[] actual = new float[expected.length];
      for (int i = 0; i < actual.length; i++) {
        actual[i] = (float) CudaBench.at(host, i);
      }
      return new Result(
          Tensor.of(java.lang.foreign.MemorySegment.ofArray(actual), DType.F32, actual.length),
          expected,
          magnitude,
          before);
    }
  }

  /**
   * n + 4 roundings of F32 (products, sums, bias, adding); activations beside 16-bit weights are
   * rounded once to their type: 2^-8 or 2^-11 of each product.
   */
  private static void assertClose(Case c, Result result) {
    double rounding =
        switch (c.type) {
          case BF16 -> 0x1p-8;
          case F16 -> 0x1p-11;
          default -> 0;
        };
    double relative = (c.inputs + 4) * 0x1p-24 + rounding;
    for (int i = 0; i < result.expected.length; i++) {
      double actual = CudaBench.at(result.out, i);
      assertThat(Math.abs(actual - result.expected[i]))
          .as("%s, element %d: %s, should be %s", c, i, actual, result.expected[i])
          .isLessThanOrEqualTo(relative * result.magnitude[i]);
    }
  }

  private static Tensor normal(Tensor tensor, Random random) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, (float) random.nextGaussian());
    }
    return tensor;
  }
}
