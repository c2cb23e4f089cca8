package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Drawing tokens against the reference: the same tokens, for each seed, draw and filter. */
final class SamplingChecks {
  private SamplingChecks() {}

  private static final List<DrawParameters> DRAWS =
      List.of(
          DrawParameters.LARGEST,
          new DrawParameters(0, 3, 0.5, 0.5, 4, 1, 7),
          new DrawParameters(1, 0, 1, 0, 1, 2, 0),
          new DrawParameters(0.7, 5, 1, 0, 1, 3, 1),
          new DrawParameters(1.5, 0, 0.6, 0, 1, 4, 2),
          new DrawParameters(1, 0, 1, 0.2, 1, 5, 3),
          new DrawParameters(0.9, 40, 0.9, 0.01, 1.3, -6, 100));

  static void sample(Backend backend) {
    for (int cols : LinearChecks.COLS) {
      if (cols <= backend.sampledColumns()) {
        for (int rows = 1; rows <= DRAWS.size(); rows += 3) {
          sample(backend, DRAWS.subList(0, rows), cols);
          sample(backend, DRAWS.subList(DRAWS.size() - rows, DRAWS.size()), cols);
        }
      } else {
        leftToTheHost(backend, cols);
      }
    }
  }

  private static void sample(Backend backend, List<DrawParameters> draws, int cols) {
    try (Bench bench = new Bench(backend, new SplittableRandom(31L * cols + draws.size()));
        Backend reference = new ReferenceBackend()) {
      Tensor logits = bench.fill(bench.empty(DType.F32, draws.size(), cols), 3);
      List<int[]> contexts = new ArrayList<>();
      for (int r = 0; r < draws.size(); r++) {
        contexts.add(bench.random.ints(5L * r, 0, cols).toArray());
      }
      Tensor device = bench.up(logits);
      Tensor out = bench.device(DType.I32, draws.size());
      backend.sample(out, device, draws, contexts);
      Tensor expected = bench.empty(DType.I32, draws.size());
      reference.sample(expected, logits, draws, contexts);
      assertThat(bench.down(out).memory().toArray(ValueLayout.JAVA_INT_UNALIGNED))
          .as("sample [%d, %d]", draws.size(), cols)
          .isEqualTo(expected.memory().toArray(ValueLayout.JAVA_INT_UNALIGNED));
      Bench.assertSame("logits after the penalty", bench.down(device), logits);
    }
  }

  private static void leftToTheHost(Backend backend, int cols) {
    assertThat(backend.sampledColumns()).as("all lengths or none").isZero();
    try (Bench bench = new Bench(backend, new SplittableRandom(1))) {
      Tensor logits = bench.device(DType.F32, 1, cols);
      Tensor out = bench.device(DType.I32, 1);
      assertThatThrownBy(
              () -> backend.sample(out, logits, DRAWS.subList(0, 1), List.of(new int[0])))
          .isInstanceOf(UnsupportedOperationException.class)
          .hasMessageContaining(backend.name());
    }
  }

  static void wrongCallsAreRefused(Backend backend) {
    if (backend.sampledColumns() == 0) {
      return; // all calls are: see leftToTheHost
    }
    try (Bench bench = new Bench(backend, new SplittableRandom(1))) {
      Tensor out = bench.device(DType.I32, 2);
      Tensor logits = bench.device(DType.F32, 2, 5);
      List<DrawParameters> two = DRAWS.subList(0, 2);
      List<int[]> contexts = List.of(new int[0], new int[0]);
      assertThatThrownBy(() -> backend.sample(out, logits, DRAWS, contexts))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("[2, 5]");
      assertThatThrownBy(() -> backend.sample(out, logits, two, List.of(new int[0])))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("[2, 5]");
      assertThatThrownBy(
              () -> backend.sample(out, logits, two, List.of(new int[0], new int[] {4, 5})))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("token 5 in the context of row 1");
    }
  }
}
