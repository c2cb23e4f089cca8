package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/** Memory, and the operations that work row by row, against the reference. */
final class ElementwiseChecks {
  private ElementwiseChecks() {}

  static void memory(Backend backend) {
    try (Bench bench = new Bench(backend, new SplittableRandom(1));
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor zeroed = memory.tensor(DType.F32, 3, 5);
      Bench.assertSame("new memory", bench.down(zeroed), bench.empty(DType.F32, 3, 5));
      Tensor halves = bench.fill(bench.unaligned(DType.BF16, 7), 1);
      Tensor placed = backend.placeF32(halves, memory);
      Bench.assertSame("placeF32", bench.down(placed), halves);
      assertThat(memory.bytes()).isGreaterThanOrEqualTo(15 * 4 + 7 * 4);
      assertThat(zeroed.address() % 64).isZero();
      assertThat(placed.address() % 64).isZero();

      Tensor values = bench.normal(33);
      Tensor device = memory.tensor(DType.F32, 33);
      backend.upload(values.memory(), device);
      backend.synchronize();
      Bench.assertSame("upload and download", bench.down(device), values);
    }
  }

  static void rmsNorm(Backend backend) {
    for (int rows : LinearChecks.TOKENS) {
      for (int cols : LinearChecks.COLS) {
        for (float epsilon : new float[] {1e-5f, 0.5f}) {
          for (boolean inPlace : new boolean[] {false, true}) {
            rmsNorm(backend, rows, cols, epsilon, inPlace);
          }
        }
      }
    }
  }

  private static void rmsNorm(Backend backend, int rows, int cols, float epsilon, boolean inPlace) {
    String what = "rmsNorm [%d, %d] epsilon %s in place %s".formatted(rows, cols, epsilon, inPlace);
    try (Bench bench = new Bench(backend, new SplittableRandom(what.hashCode()));
        Backend reference = new ReferenceBackend()) {
      Tensor x = bench.normal(rows, cols);
      Tensor weight = bench.normal(cols);
      Tensor expected = bench.empty(DType.F32, rows, cols);
      reference.rmsNorm(expected, x, weight, epsilon);
      Tensor deviceX = bench.up(x);
      Tensor out = inPlace ? deviceX : bench.device(DType.F32, rows, cols);
      backend.rmsNorm(out, deviceX, bench.up(weight), epsilon);
      Bench.assertClose(
          what,
          bench.down(out),
          expected,
          (r, c) -> Tolerance.rmsNorm(cols, Bench.at(expected, r, c)));
    }
  }

  static void gate(Backend backend) {
    // Where exp overflows, where tanh is flat, and both zeros.
    double[] extremes = {0, -0.0, 1e-30, -1e-30, 20, -20, 88, -88, 104, -104, 1e4, -1e4};
    for (Activation activation : Activation.values()) {
      for (int tokens : LinearChecks.TOKENS) {
        for (int n : LinearChecks.COLS) {
          String what = "gate %s [%d, %d]".formatted(activation, tokens, n);
          try (Bench bench = new Bench(backend, new SplittableRandom(what.hashCode()));
              Backend reference = new ReferenceBackend()) {
            Tensor gateUp = bench.fill(bench.empty(DType.F32, tokens, 2L * n), 3);
            for (int i = 0; i < Math.min(extremes.length, n); i++) {
              Floats.set(gateUp.memory(), DType.F32, i, (float) extremes[i]);
            }
            Tensor expected = bench.empty(DType.F32, tokens, n);
            reference.gate(expected, gateUp, activation);
            Tensor out = bench.device(DType.F32, tokens, n);
            backend.gate(out, bench.up(gateUp), activation);
            Bench.assertClose(
                what,
                bench.down(out),
                expected,
                (t, c) -> Tolerance.gate(Bench.at(gateUp, t, c), Bench.at(gateUp, t, n + c)));
          }
        }
      }
    }
  }

  static void gatherRows(Backend backend) {
    for (int cols : LinearChecks.COLS) {
      for (int[] rows : new int[][] {{0}, {8}, {0, 3, 4, 8}, {8, 8, 0}}) {
        try (Bench bench = new Bench(backend, new SplittableRandom(cols))) {
          Tensor x = bench.normal(9, cols);
          Tensor out = bench.device(DType.F32, rows.length, cols);
          backend.gatherRows(out, bench.up(x), bench.up(bench.integers(rows)));
          Tensor actual = bench.down(out);
          for (int i = 0; i < rows.length; i++) {
            Bench.assertSame("gatherRows", actual.rows(i, i + 1), x.rows(rows[i], rows[i] + 1));
          }
        }
      }
    }
  }

  static void argmax(Backend backend) {
    for (int rows : LinearChecks.TOKENS) {
      for (int cols : LinearChecks.COLS) {
        try (Bench bench = new Bench(backend, new SplittableRandom(rows * 1000L + cols))) {
          Tensor x = bench.normal(rows, cols);
          int[] expected = new int[rows];
          for (int r = 0; r < rows; r++) {
            // The largest comes once, or several times, or the whole row is equal and negative.
            int first = bench.random.nextInt(cols);
            expected[r] = r % 3 == 2 ? 0 : first;
            for (int c = 0; c < cols; c++) {
              boolean again = r % 3 == 1 && c > first && bench.random.nextBoolean();
              if (r % 3 == 2) {
                Floats.set(x.memory(), DType.F32, (long) r * cols + c, -7);
              } else if (c == first || again) {
                Floats.set(x.memory(), DType.F32, (long) r * cols + c, 50);
              }
            }
          }
          Tensor out = bench.device(DType.I32, rows);
          backend.argmax(out, bench.up(x));
          int[] actual = bench.down(out).memory().toArray(ValueLayout.JAVA_INT_UNALIGNED);
          assertThat(actual).as("argmax [%d, %d]", rows, cols).isEqualTo(expected);
        }
      }
    }
  }
}
