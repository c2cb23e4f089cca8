package dev.lathe.backend;

import dev.lathe.backend.LinearChecks.ActivationRounding;
import dev.lathe.backend.LinearChecks.Rounding;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;
import java.util.SplittableRandom;

/**
 * {@link Backend#normLinear} and {@link Backend#normLinearGate} against the reference, over edge
 * shapes. Each token's row has another size, so that a norm by another row's factor shows.
 */
final class FusedChecks {
  private static final int[] COLS = {1, 7, 16, 64, 130, 172, 255, 257};
  private static final int[] TOKENS = {1, 2, 3, 8, 9, 33};
  private static final int[] ROWS = {2, 4, 74};

  private FusedChecks() {}

  /** One product: {@code inPlace} where the norm's result may replace x. */
  private record Case(
      WeightCases format, int rows, int cols, int tokens, boolean bias, boolean inPlace) {
    float epsilon() {
      return bias ? 0.5f : 1e-5f;
    }
  }

  /** On the host. */
  private record Data(Weight weight, Optional<Tensor> bias, Tensor x, Tensor norm) {
    Linear layer() {
      return new Linear(weight, bias);
    }
  }

  private interface Check {
    void run(Backend backend, Case c, ActivationRounding rounding);
  }

  static void normLinear(Backend backend, WeightCases format, ActivationRounding rounding) {
    overEdgeShapes(backend, format, rounding, FusedChecks::normLinear);
  }

  static void normLinearGate(Backend backend, WeightCases format, ActivationRounding rounding) {
    overEdgeShapes(backend, format, rounding, FusedChecks::normLinearGate);
  }

  private static void overEdgeShapes(
      Backend backend, WeightCases format, ActivationRounding rounding, Check check) {
    int n = 0;
    for (int cols : COLS) {
      for (int tokens : TOKENS) {
        for (int rows : ROWS) {
          Case c = new Case(format, rows, cols, tokens, (n & 1) != 0, (n & 2) != 0);
          check.run(backend, c, rounding);
          n++;
        }
      }
    }
  }

  private static Data make(Bench bench, Case c) {
    Weight weight = c.format.make(bench, c.rows, c.cols);
    Tensor x = bench.normal(c.tokens, c.cols);
    for (int t = 0; t < c.tokens; t++) {
      bench.fill(x.rows(t, t + 1), Math.pow(3, t % 5 - 2));
    }
    return new Data(
        weight,
        c.bias ? Optional.of(bench.normal(weight.rows())) : Optional.empty(),
        x,
        bench.normal(c.cols));
  }

  private static void normLinear(Backend backend, Case c, ActivationRounding rounding) {
    String what = "normLinear " + c;
    try (Bench bench = new Bench(backend, new SplittableRandom(what.hashCode()))) {
      Data data = make(bench, c);
      Tensor x = bench.up(data.x);
      Tensor out = bench.device(DType.F32, c.tokens, data.weight.rows());
      backend.normLinear(
          out,
          x,
          new RmsNorm(bench.up(data.norm), c.epsilon()),
          new Linear(bench.place(data.weight), data.bias.map(bench::up)),
          c.inPlace ? x : bench.device(DType.F32, c.tokens, c.cols));
      Product product = Product.of(bench, c, data, rounding);
      Bench.assertClose(what, bench.down(out), product.expected, product.bound);
    }
  }

  private static void normLinearGate(Backend backend, Case c, ActivationRounding rounding) {
    // Each activation meets every size of each dimension.
    Activation activation =
        switch ((c.cols + c.tokens + c.rows / 2) % 3) {
          case 0 -> Activation.SILU;
          case 1 -> Activation.GELU_TANH;
          default -> Activation.GELU;
        };
    String what = "normLinearGate %s %s".formatted(activation, c);
    try (Bench bench = new Bench(backend, new SplittableRandom(what.hashCode()));
        Backend reference = new ReferenceBackend()) {
      Data data = make(bench, c);
      long n = data.weight.rows() / 2;
      Tensor x = bench.up(data.x);
      Tensor out = bench.device(DType.F32, c.tokens, n);
      backend.normLinearGate(
          out,
          x,
          new RmsNorm(bench.up(data.norm), c.epsilon()),
          new Linear(bench.place(data.weight), data.bias.map(bench::up)),
          activation,
          c.inPlace ? x : bench.device(DType.F32, c.tokens, c.cols),
          bench.device(DType.F32, c.tokens, 2 * n));
      Product product = Product.of(bench, c, data, rounding);
      Tensor expected = bench.empty(DType.F32, c.tokens, n);
      reference.gate(expected, product.expected, activation);
      Bench.assertClose(
          what,
          bench.down(out),
          expected,
          (t, col) ->
              gate(
                  Bench.at(product.expected, t, col),
                  Bench.at(product.expected, t, n + col),
                  product.bound.at(t, col),
                  product.bound.at(t, n + col)));
    }
  }

  /**
   * How far a gated activation may be off where its factors may: none of the activations is steeper
   * than 1.13 nor larger than what it is of.
   */
  private static double gate(double gate, double up, double gateError, double upError) {
    double g = Math.abs(gate);
    double u = Math.abs(up);
    return Tolerance.gate(g + gateError, u + upError)
        + 1.13 * gateError * (u + upError)
        + (g + gateError) * upError;
  }

  /** {@code rmsNorm(x) W^T + b}, and how far it may be off. */
  private record Product(Tensor expected, Bench.Bound bound) {
    static Product of(Bench bench, Case c, Data data, ActivationRounding rounding) {
      try (Backend reference = new ReferenceBackend()) {
        Tensor normed = bench.empty(DType.F32, c.tokens, c.cols);
        reference.rmsNorm(normed, data.x, data.norm, c.epsilon());
        Tensor expected = bench.empty(DType.F32, c.tokens, data.weight.rows());
        reference.linear(expected, normed, data.layer(), Epilogue.STORE);
        // The norm's error comes before the product's: with each factor (Tolerance.rmsNorm, and the
        // rounding of the reference's own result).
        double norm = (c.cols / 2.0 + 9) * Tolerance.U;
        return new Product(
            expected,
            LinearChecks.bound(
                data.weight,
                normed,
                data.bias,
                expected,
                0,
                Epilogue.STORE,
                (weight, tokens) -> {
                  Rounding own = rounding.of(weight, tokens);
                  return TokenQuantization.isFor(weight) ? own.quantized(norm) : own.plus(norm);
                }));
      }
    }
  }
}
