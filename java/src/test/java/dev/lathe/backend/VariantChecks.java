package dev.lathe.backend;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.SplittableRandom;

/** The row operations of decoders other than Llama, against the reference, over edge shapes. */
final class VariantChecks {
  private VariantChecks() {}

  /** What is checked with each size. */
  private interface Check {
    void run(Bench bench, Backend reference, int rows, int cols);
  }

  private static void eachSize(String what, Backend backend, Check check) {
    for (int rows : LinearChecks.TOKENS) {
      for (int cols : LinearChecks.COLS) {
        long seed = (what + rows + "," + cols).hashCode();
        try (Bench bench = new Bench(backend, new SplittableRandom(seed));
            Backend reference = new ReferenceBackend()) {
          check.run(bench, reference, rows, cols);
        }
      }
    }
  }

  static void layerNorm(Backend backend) {
    for (boolean inPlace : new boolean[] {false, true}) {
      for (float epsilon : new float[] {1e-5f, 0.5f}) {
        eachSize(
            "layerNorm",
            backend,
            (bench, reference, rows, cols) -> {
              // Far from 0, where a variance by E[x^2] - E[x]^2 would have no digits left.
              Tensor x = bench.normal(rows, cols);
              for (long i = 0; i < x.elements(); i++) {
                Floats.set(x.memory(), DType.F32, i, 20 + Floats.get(x.memory(), DType.F32, i));
              }
              Tensor weight = bench.normal(cols);
              Tensor bias = bench.normal(cols);
              Tensor expected = bench.empty(DType.F32, rows, cols);
              reference.layerNorm(expected, x, weight, bias, epsilon);
              Tensor deviceX = bench.up(x);
              Tensor out = inPlace ? deviceX : bench.device(DType.F32, rows, cols);
              backend.layerNorm(out, deviceX, bench.up(weight), bench.up(bias), epsilon);
              Bench.assertClose(
                  "layerNorm [%d, %d]".formatted(rows, cols),
                  bench.down(out),
                  expected,
                  (r, c) ->
                      Tolerance.layerNorm(
                          x, r, epsilon, Bench.at(weight, 0, c), Bench.at(bias, 0, c)));
            });
      }
    }
  }

  static void addRmsNorm(Backend backend) {
    eachSize(
        "addRmsNorm",
        backend,
        (bench, reference, rows, cols) -> {
          Tensor x = bench.normal(rows, cols);
          Tensor weight = bench.normal(cols);
          Tensor before = bench.normal(rows, cols);
          Tensor expected = bench.copy(before);
          reference.addRmsNorm(expected, x, weight, 1e-5f);
          Tensor out = bench.up(before);
          backend.addRmsNorm(out, bench.up(x), bench.up(weight), 1e-5f);
          Bench.assertClose(
              "addRmsNorm [%d, %d]".formatted(rows, cols),
              bench.down(out),
              expected,
              (r, c) -> {
                double sum = Bench.at(expected, r, c);
                double added = sum - Bench.at(before, r, c);
                return Tolerance.rmsNorm(cols, added) + 2 * Tolerance.U * Math.abs(sum);
              });
        });
  }

  static void normHeads(Backend backend) {
    for (int[] heads : new int[][] {{1, 1}, {4, 2}, {6, 1}}) {
      for (int headDim : new int[] {1, 7, 10, 64, 128}) {
        for (int tokens : LinearChecks.TOKENS) {
          AttentionShape shape = new AttentionShape(heads[0], heads[1], headDim, 1);
          try (Bench bench = new Bench(backend, new SplittableRandom(headDim + tokens));
              Backend reference = new ReferenceBackend()) {
            Tensor qkv = bench.normal(tokens, shape.queryKeyValueColumns());
            Tensor query = bench.normal(headDim);
            Tensor key = bench.normal(headDim);
            Tensor expected = bench.copy(qkv);
            reference.normHeads(expected, query, key, shape, 1e-6f);
            Tensor out = bench.up(qkv);
            backend.normHeads(out, bench.up(query), bench.up(key), shape, 1e-6f);
            long normed = (long) (heads[0] + heads[1]) * headDim;
            Bench.assertClose(
                "normHeads %s of %d tokens".formatted(shape, tokens),
                bench.down(out),
                expected,
                (t, c) -> c < normed ? Tolerance.rmsNorm(headDim, Bench.at(expected, t, c)) : 0);
          }
        }
      }
    }
  }

  static void addEmbedding(Backend backend, WeightCases format) {
    for (int cols : LinearChecks.COLS) {
      for (int tokens : new int[] {1, 3, 33}) {
        try (Bench bench = new Bench(backend, new SplittableRandom(cols * 100L + tokens));
            Backend reference = new ReferenceBackend()) {
          Weight table = format.make(bench, 19, cols);
          Tensor rows =
              bench.integers(
                  new SplittableRandom(cols).ints(tokens, 0, (int) table.rows()).toArray());
          Tensor before = bench.normal(tokens, table.cols());
          Tensor expected = bench.copy(before);
          reference.addEmbedding(expected, table, rows);
          Tensor out = bench.up(before);
          backend.addEmbedding(out, bench.place(table), bench.up(rows));
          Bench.assertClose(
              "addEmbedding %s [%d, %d]".formatted(format, tokens, cols),
              bench.down(out),
              expected,
              (t, c) -> {
                double sum = Bench.at(expected, t, c);
                double added = sum - Bench.at(before, t, c);
                return 2 * Tolerance.U * (Math.abs(sum) + Math.abs(added)) + Tolerance.TINY;
              });
        }
      }
    }
  }

  static void scale(Backend backend) {
    eachSize(
        "scale",
        backend,
        (bench, reference, rows, cols) -> {
          Tensor x = bench.normal(rows, cols);
          Tensor expected = bench.copy(x);
          reference.scale(expected, 4.6904154f);
          Tensor out = bench.up(x);
          backend.scale(out, 4.6904154f);
          // One product, rounded once.
          Bench.assertSame("scale", bench.down(out), expected);
        });
  }

  static void activate(Backend backend) {
    for (Activation activation : Activation.values()) {
      for (boolean inPlace : new boolean[] {false, true}) {
        eachSize(
            "activate",
            backend,
            (bench, reference, rows, cols) -> {
              Tensor x = bench.fill(bench.empty(DType.F32, rows, cols), 3);
              extremes(x);
              Tensor expected = bench.empty(DType.F32, rows, cols);
              reference.activate(expected, x, activation);
              Tensor deviceX = bench.up(x);
              Tensor out = inPlace ? deviceX : bench.device(DType.F32, rows, cols);
              backend.activate(out, deviceX, activation);
              Bench.assertClose(
                  "activate %s [%d, %d]".formatted(activation, rows, cols),
                  bench.down(out),
                  expected,
                  (r, c) -> Tolerance.gate(Bench.at(x, r, c), 1));
            });
      }
    }
  }

  static void softCap(Backend backend) {
    for (float cap : new float[] {0.5f, 30, 50}) {
      eachSize(
          "softCap",
          backend,
          (bench, reference, rows, cols) -> {
            Tensor x = bench.fill(bench.empty(DType.F32, rows, cols), cap);
            extremes(x);
            Tensor expected = bench.copy(x);
            reference.softCap(expected, cap);
            Tensor out = bench.up(x);
            backend.softCap(out, cap);
            Bench.assertClose(
                "softCap %s [%d, %d]".formatted(cap, rows, cols),
                bench.down(out),
                expected,
                (r, c) -> Tolerance.softCap(Bench.at(expected, r, c)));
          });
    }
  }

  /** Where exp overflows, where tanh is flat, where it is a line, and both zeros. */
  private static void extremes(Tensor x) {
    double[] extremes = {0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 20, -20, 88, -88, 104, -104, 1e4};
    for (int i = 0; i < Math.min(extremes.length, x.elements()); i++) {
      Floats.set(x.memory(), DType.F32, i, (float) extremes[i]);
    }
  }
}
