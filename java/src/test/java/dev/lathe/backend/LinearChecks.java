package dev.lathe.backend;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;
import java.util.SplittableRandom;

/** {@link Backend#linear} and {@link Backend#embed} against the reference, over edge shapes. */
public final class LinearChecks {
  static final int[] COLS = {1, 7, 8, 15, 16, 17, 64, 172, 255, 257};
  static final int[] TOKENS = {1, 2, 3, 8, 9, 33, 130};
  static final int[] ROWS = {1, 2, 37};

  private LinearChecks() {}

  /** What is asked of one product. */
  private record Call(int tokens, boolean bias, Epilogue epilogue, boolean strided) {}

  /**
   * How much activations are rounded before they are multiplied.
   *
   * @param relative to each of them
   * @param ofLargest relative to the largest of a block of columns, which share a scale
   * @param block columns from one block to the next
   */
  public record Rounding(double relative, double ofLargest, int block) {
    /** They are multiplied as they are. */
    public static final Rounding NONE = relative(0);

    public static Rounding relative(double relative) {
      return new Rounding(relative, 0, Integer.MAX_VALUE);
    }

    Rounding plus(double more) {
      return new Rounding(relative + more, ofLargest, block);
    }

    /**
     * Of activations that are off already and become {@link ActivationFormat#INT8} then: one that
     * comes by the border between two codes may get the other, and the scale follows the largest.
     */
    Rounding quantized(double before) {
      return new Rounding(relative + 2 * before, 1.0 / ActivationFormat.MOST, Integer.MAX_VALUE);
    }

    /** How far each activation of a token may be off. */
    double[] errors(Tensor x, long token, int cols) {
      double[] errors = new double[cols];
      for (int from = 0; from < cols; from += Math.min(block, cols)) {
        int to = (int) Math.min(cols, (long) from + block);
        double largest = 0;
        for (int c = from; c < to; c++) {
          largest = Math.max(largest, Math.abs(Bench.at(x, token, c)));
        }
        for (int c = from; c < to; c++) {
          errors[c] = relative * Math.abs(Bench.at(x, token, c)) + ofLargest * largest;
        }
      }
      return errors;
    }
  }

  /** How much a backend may round activations for a product: it says so in its conformance test. */
  interface ActivationRounding {
    ActivationRounding NONE = (weight, tokens) -> Rounding.NONE;

    /** Of the product with a weight that is no stack. */
    Rounding of(Weight weight, int tokens);
  }

  static void linear(Backend backend, WeightCases format) {
    linear(backend, format, ActivationRounding.NONE);
  }

  static void linear(Backend backend, WeightCases format, ActivationRounding rounding) {
    int n = 0;
    for (int cols : COLS) {
      for (int tokens : TOKENS) {
        for (int rows : ROWS) {
          // Each of the eight combinations meets every size of at least one dimension.
          boolean bias = (n & 1) != 0;
          Epilogue epilogue = (n & 2) != 0 ? Epilogue.ADD : Epilogue.STORE;
          boolean strided = (n & 4) != 0;
          linear(backend, format, rows, cols, new Call(tokens, bias, epilogue, strided), rounding);
          n++;
        }
      }
    }
    // Whole blocks of 16 rows, which a backend may lay out anew.
    for (int tokens : new int[] {1, 2, 4, 7, 8, 12}) {
      linear(backend, format, 144, 33, new Call(tokens, true, Epilogue.ADD, true), rounding);
    }
    for (Epilogue epilogue : Epilogue.values()) {
      for (int tokens : new int[] {1, 9}) {
        for (boolean strided : new boolean[] {false, true}) {
          linear(backend, format, 19, 64, new Call(tokens, false, epilogue, strided), rounding);
          linear(backend, format, 19, 64, new Call(tokens, true, epilogue, strided), rounding);
        }
      }
    }
  }

  private static void linear(
      Backend backend,
      WeightCases format,
      int rows,
      int cols,
      Call call,
      ActivationRounding rounding) {
    String what = "linear %s [%d, %d] %s".formatted(format, rows, cols, call);
    try (Bench bench = new Bench(backend, new SplittableRandom(what.hashCode()));
        Backend reference = new ReferenceBackend()) {
      Weight weight = format.make(bench, rows, cols);
      long outputs = weight.rows();
      int gap = call.strided ? 3 : 0;
      Optional<Tensor> bias = call.bias ? Optional.of(bench.normal(outputs)) : Optional.empty();
      Tensor x = bench.normal(call.tokens, cols + 2L * gap);
      Tensor before = bench.normal(call.tokens, outputs + 2L * gap);

      Tensor expected = bench.copy(before);
      reference.linear(
          expected.columns(gap, gap + outputs),
          x.columns(gap, gap + cols),
          new Linear(weight, bias),
          call.epilogue);

      Tensor out = bench.up(before);
      backend.linear(
          out.columns(gap, gap + outputs),
          bench.up(x).columns(gap, gap + cols),
          new Linear(bench.place(weight), bias.map(bench::up)),
          call.epilogue);

      Bench.assertClose(
          what,
          bench.down(out),
          expected,
          bound(weight, x.columns(gap, gap + cols), bias, before, gap, call.epilogue, rounding));
    }
  }

  /** Nothing outside the columns that were asked for may change. */
  static Bench.Bound bound(
      Weight weight,
      Tensor x,
      Optional<Tensor> bias,
      Tensor before,
      int gap,
      Epilogue epilogue,
      ActivationRounding rounding) {
    int cols = Math.toIntExact(weight.cols());
    double[][] magnitudes = new double[Math.toIntExact(weight.rows())][cols];
    for (int r = 0; r < magnitudes.length; r++) {
      WeightCases.magnitudes(weight, r, magnitudes[r]);
    }
    return (token, column) -> {
      int row = (int) (column - gap);
      if (row < 0 || row >= magnitudes.length) {
        return 0;
      }
      double sum = epilogue == Epilogue.ADD ? Math.abs(Bench.at(before, token, column)) : 0;
      sum += bias.isPresent() ? Math.abs(Bench.at(bias.get(), 0, row)) : 0;
      double[] errors =
          rounding.of(partOf(weight, row), Math.toIntExact(x.size(0))).errors(x, token, cols);
      double products = 0;
      double rounded = 0;
      for (int c = 0; c < cols; c++) {
        products += Math.abs(Bench.at(x, token, c)) * magnitudes[row][c];
        rounded += errors[c] * magnitudes[row][c];
      }
      return Tolerance.dot(cols, sum + products + rounded) + rounded;
    };
  }

  /** The matrix of a stack that a row belongs to. */
  private static Weight partOf(Weight weight, long row) {
    if (weight instanceof Weight.Stacked stacked) {
      long first = 0;
      for (Weight part : stacked.parts()) {
        if (row < first + part.rows()) {
          return partOf(part, row - first);
        }
        first += part.rows();
      }
    }
    return weight;
  }

  /** One multiplication at most, so the result is the same to the last bit. */
  static void embed(Backend backend, WeightCases format) {
    for (int cols : COLS) {
      for (int[] tokens : new int[][] {{0}, {4, 0, 1, 1, 4, 2, 3}}) {
        String what = "embed %s [5, %d], %d tokens".formatted(format, cols, tokens.length);
        try (Bench bench = new Bench(backend, new SplittableRandom(what.hashCode()));
            Backend reference = new ReferenceBackend()) {
          Weight table = format.make(bench, 5, cols);
          Tensor indices = bench.integers(tokens);
          Tensor expected = bench.empty(DType.F32, tokens.length, cols);
          reference.embed(expected, table, indices);
          Tensor out = bench.device(DType.F32, tokens.length, cols);
          backend.embed(out, bench.place(table), bench.up(indices));
          Bench.assertSame(what, bench.down(out), expected);
        }
      }
    }
  }
}
