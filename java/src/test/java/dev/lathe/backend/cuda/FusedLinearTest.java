package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Activation;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.RmsNorm;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A norm, a product and a gate in one kernel give, to the bit, what the three kernels give one
 * after another, which other tests hold against double precision. CudaConformanceCanaryTest has
 * kernels that do it wrongly.
 */
@Tag("cuda")
class FusedLinearTest {
  private static final float EPSILON = 1e-5f;

  static List<LinearCase.Format> formats() {
    return List.of(
        LinearCase.Format.dense(DType.F32),
        LinearCase.Format.dense(DType.BF16),
        LinearCase.Format.dense(DType.F16),
        LinearCase.Format.int8(DType.BF16, 0, true),
        LinearCase.Format.int8(DType.F32, 0, false),
        LinearCase.Format.int8(DType.BF16, 64, true),
        LinearCase.Format.int8(DType.F32, 16, false));
  }

  /** One column, a warp's, a block's and more than one round's of threads; 1 to 8 tokens. */
  @ParameterizedTest
  @MethodSource("formats")
  void sameBitsAsOneAfterAnother(LinearCase.Format format) {
    int tokens = 0;
    for (int cols : new int[] {1, 7, 64, 128, 130, 172, 576, 1100, 2052, 4544}) {
      for (int rows : new int[] {2, 6, 74}) {
        tokens = tokens % LinearKernels.PASS_ROWS + 1;
        String order = CudaBench.orders().get(tokens % CudaBench.orders().size());
        check(LinearCase.of(format, rows, cols, tokens).with(rows != 6, Epilogue.STORE, 0), order);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("formats")
  void inEveryOrder(LinearCase.Format format) {
    for (String order : CudaBench.orders()) {
      for (int tokens : new int[] {1, 5}) {
        check(LinearCase.of(format, 20, 640, tokens).with(true, Epilogue.STORE, 0), order);
      }
    }
  }

  private static void check(LinearCase c, String order) {
    if (c.format().groupSize() != 0 && c.cols() % c.format().groupSize() != 0) {
      return; // groups that end elsewhere have a kernel without anything fused
    }
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench()) {
      Operands operands = Operands.of(bench, c);
      assertSame(order + ": " + c, operands.fused(), operands.plain());
      for (Activation activation : Activation.values()) {
        assertSame(
            "%s: %s, %s".formatted(order, activation, c),
            operands.fusedGate(activation),
            operands.plainGate(activation));
      }
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  private static void assertSame(String what, Tensor actual, Tensor expected) {
    assertThat(actual.memory().mismatch(expected.memory())).as(what).isEqualTo(-1);
  }

  /** On the device: rows of x differ in size, so that each needs its own factor. */
  private record Operands(CudaBench bench, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
    static Operands of(CudaBench bench, LinearCase c) {
      LinearCase.Data data = c.make(bench);
      SplittableRandom random = new SplittableRandom(c.toString().hashCode());
      Tensor weight = bench.host(DType.F32, c.cols());
      for (int i = 0; i < c.cols(); i++) {
        Floats.set(weight.memory(), DType.F32, i, (float) random.nextGaussian());
      }
      for (long i = 0; i < data.wholeX().elements(); i++) {
        double scaled = CudaBench.at(data.wholeX(), i) * Math.pow(3, i / c.cols() % 5 - 2);
        Floats.set(data.wholeX().memory(), DType.F32, i, (float) scaled);
      }
      Tensor x = bench.up(data.wholeX());
      RmsNorm norm = new RmsNorm(bench.up(weight), EPSILON);
      Tensor normed = bench.device(DType.F32, c.tokens(), c.cols());
      new RowKernels(bench.kernels, bench.context.limits())
          .rmsNorm(normed, x, norm.weight(), EPSILON);
      return new Operands(bench, x, norm, c.up(bench, data.layer()), normed);
    }

    private LinearKernels kernels() {
      return bench.linearKernels();
    }

    private Tensor empty(long columns) {
      return bench.device(DType.F32, x.size(0), columns);
    }

    private Tensor product() {
      Tensor out = empty(layer.outputs());
      kernels().linear(out, normed, layer, Epilogue.STORE);
      return out;
    }

    Tensor plain() {
      return bench.down(product());
    }

    Tensor fused() {
      assertThat(LinearKernels.fuses(layer.weight(), x.size(0))).isTrue();
      Tensor out = empty(layer.outputs());
      kernels().fused(out, x, norm, layer, Optional.empty());
      return bench.down(out);
    }

    Tensor plainGate(Activation activation) {
      Tensor out = empty(layer.outputs() / 2);
      new RowKernels(bench.kernels, bench.context.limits()).gate(out, product(), activation);
      return bench.down(out);
    }

    Tensor fusedGate(Activation activation) {
      Tensor out = empty(layer.outputs() / 2);
      kernels().fused(out, x, norm, layer, Optional.of(activation));
      return bench.down(out);
    }
  }
}
