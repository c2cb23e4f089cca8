package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.DrawParameters;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** argmax.cu and sampling.cu against plain Java: the same token, for every draw of a seed. */
@Tag("cuda")
class SamplingKernelsTest {

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 31, 255, 256, 4095, 4096, 4097, 9000})
  void argmaxIsTheFirstOfEquals(int cols) {
    for (String order : CudaBench.orders()) {
      SplittableRandom random = new SplittableRandom(cols);
      float[] values = new float[5 * cols];
      for (int i = 0; i < values.length; i++) {
        values[i] = i / cols == 0 ? random.nextInt(-2, 3) : (float) random.nextGaussian();
      }
      Arrays.fill(values, 2 * cols, 3 * cols, -7);
      Arrays.fill(values, 3 * cols, 4 * cols, Float.NEGATIVE_INFINITY);
      values[5 * cols - 1] = 100;
      assertArgmax(values, 5, order);
    }
  }

  /** As the reference compares: a NaN is never larger, and the one in front is never passed. */
  @Test
  void argmaxOfZerosAndOfWhatIsNoNumber() {
    float nan = Float.NaN;
    float none = Float.NEGATIVE_INFINITY;
    float[][] rows = {
      {-0f, 0, -0f, 0},
      {0, -0f, 0, 0},
      {-1, nan, 5, nan},
      {nan, 1, 2, 3},
      {nan, nan, nan, nan},
      {none, nan, none, none},
      {-5, nan, -7, -5},
      {1, Float.POSITIVE_INFINITY, nan, 2}
    };
    float[] values = new float[rows.length * 4];
    for (int r = 0; r < rows.length; r++) {
      System.arraycopy(rows[r], 0, values, 4 * r, 4);
    }
    assertArgmax(values, rows.length, CudaBench.orders().getFirst());
  }

  /** More than a grid has in y and z. */
  @Test
  void argmaxOfManyRows() {
    int rows = DeviceLimits.MAX_GRID_YZ + 2;
    float[] values = new float[2 * rows];
    for (int i = 0; i < values.length; i++) {
      values[i] = Integer.reverse(i * 0x9e3779b9);
    }
    assertArgmax(values, rows, CudaBench.orders().getFirst());
  }

  private static void assertArgmax(float[] values, int rows, String order) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      int cols = values.length / rows;
      Tensor x = bench.floats(values).reshape(rows, cols);
      Tensor expected = bench.host(DType.I32, rows);
      reference.argmax(expected, x);
      Tensor out = bench.device(DType.I32, rows);
      Tensor workspace =
          bench.device(DType.I64, SamplingKernels.argmaxWorkspaceBytes(rows, cols) / Long.BYTES);
      new SamplingKernels(bench.kernels).argmax(out, bench.up(x), workspace);
      assertThat(bench.downIntegers(out))
          .as("[%d, %d], %s", rows, cols, order)
          .isEqualTo(expected.memory().toArray(ValueLayout.JAVA_INT));
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  record Case(String name, int vocabulary, List<DrawParameters> rows) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static DrawParameters draw(
      double temperature, int topK, double topP, double minP, double penalty, long seed, long n) {
    return new DrawParameters(temperature, topK, topP, minP, penalty, seed, n);
  }

  static List<Case> cases() {
    List<Case> cases = new ArrayList<>();
    cases.add(
        new Case("greedy", 1000, List.of(draw(0, 0, 1, 0, 1, 1, 0), draw(0, 5, 0.5, 0, 1, 2, 0))));
    cases.add(
        new Case(
            "greedy with a penalty",
            300,
            List.of(draw(0, 0, 1, 0, 1.3, 1, 0), draw(0, 0, 1, 0, 5, 1, 3))));
    cases.add(new Case("all", 5000, draws(i -> draw(0.8 + 0.1 * i, 0, 1, 0, 1, i, i))));
    cases.add(new Case("top-k", 5000, draws(i -> draw(1, 1 + 7 * i, 1, 0, 1, 40L + i, i))));
    cases.add(
        new Case("top-k of more than there are", 9, draws(i -> draw(1, 8 + i, 1, 0, 1, i, i))));
    cases.add(new Case("top-p", 5000, draws(i -> draw(1.2, 0, 0.1 + 0.1 * i, 0, 1, 7L * i, i))));
    cases.add(new Case("min-p", 5000, draws(i -> draw(0.7, 0, 1, 0.05 * i, 1, 3L * i, i))));
    cases.add(
        new Case("everything", 5000, draws(i -> draw(0.9, 50, 0.9, 0.02, 1.2, -i, 1000L + i))));
    cases.add(
        new Case(
            "each row its own way",
            4097,
            List.of(
                draw(0, 0, 1, 0, 1, 1, 0),
                draw(1, 0, 1, 0, 1, 1, 0),
                draw(1, 3, 1, 0, 1, 1, 0),
                draw(1, 0, 0.5, 0, 1, 1, 0),
                draw(1, 0, 1, 0.3, 1, 1, 0),
                draw(2, 40, 0.8, 0, 1.1, 1, 5))));
    cases.add(new Case("one token", 1, draws(i -> draw(1, i, 0.9, 0.1, 1, i, 0))));
    return cases;
  }

  private static List<DrawParameters> draws(IntFunction<DrawParameters> draw) {
    return IntStream.range(0, 8).mapToObj(draw).toList();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void drawsWhatTheHostDraws(Case c) {
    for (String order : CudaBench.orders()) {
      assertThat(onDevice(c, order, c.rows)).as(order).isEqualTo(onHost(c));
    }
  }

  /** Many equal logits: which of them are the first k is their order, and ties are everywhere. */
  @Test
  void tiesAreTakenInTheOrderOfTokens() {
    for (int topK : new int[] {1, 2, 5, 100}) {
      Case c = new Case("ties", 300, draws(i -> draw(1, topK, i % 2 == 0 ? 1 : 0.6, 0, 1, i, i)));
      assertThat(onDevice(c, CudaBench.orders().getFirst(), c.rows)).isEqualTo(onHost(c));
    }
  }

  @Test
  void canaryAnotherDrawOrFilterIsSeen() {
    Case c = new Case("everything", 100, draws(i -> draw(0.9, 50, 0.9, 0.01, 3, -i, 10 + i)));
    String order = CudaBench.orders().getFirst();
    assertThat(onDevice(c, order, c.rows)).isEqualTo(onHost(c));
    for (IntFunction<DrawParameters> other :
        List.<IntFunction<DrawParameters>>of(
            i -> draw(0.9, 50, 0.9, 0.01, 3, -i, 11 + i),
            i -> draw(0.9, 50, 0.9, 0.01, 3, 1 - i, 10 + i),
            i -> draw(0.9, 2, 0.9, 0.01, 3, -i, 10 + i),
            i -> draw(0.9, 50, 0.3, 0.01, 3, -i, 10 + i),
            i -> draw(0.9, 50, 0.9, 0.5, 3, -i, 10 + i),
            i -> draw(0.9, 50, 0.9, 0.01, 1, -i, 10 + i))) {
      assertThat(onDevice(c, order, draws(other))).isNotEqualTo(onHost(c));
    }
  }

  @Test
  void tooSmallAWorkspaceIsRefused() {
    try (CudaBench bench = new CudaBench()) {
      Tensor out = bench.device(DType.I32, 2);
      Tensor x = bench.device(DType.F32, 2, 5000);
      Tensor workspace = bench.device(DType.I64, 3);
      assertThatThrownBy(() -> new SamplingKernels(bench.kernels).argmax(out, x, workspace))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("32 bytes");
    }
  }

  private static float[] logits(Case c, int row) {
    SplittableRandom random = new SplittableRandom(c.vocabulary * 31L + row);
    float[] logits = new float[c.vocabulary];
    for (int i = 0; i < logits.length; i++) {
      logits[i] =
          c.name.equals("ties") ? random.nextInt(-1, 2) : (float) (3 * random.nextGaussian());
    }
    return logits;
  }

  private static int[] context(Case c, int row) {
    SplittableRandom random = new SplittableRandom(row);
    return random.ints(row * 20L, 0, c.vocabulary).toArray();
  }

  private static int[] onDevice(Case c, String order, List<DrawParameters> rows) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench()) {
      int count = rows.size();
      Tensor logits = bench.host(DType.F32, count, c.vocabulary);
      Tensor parameters = bench.host(DType.I64, count, SamplingKernels.PARAMETER_LONGS);
      List<Integer> context = new ArrayList<>();
      List<Integer> starts = new ArrayList<>(List.of(0));
      for (int r = 0; r < count; r++) {
        float[] values = logits(c, r);
        for (int i = 0; i < values.length; i++) {
          logits
              .memory()
              .setAtIndex(ValueLayout.JAVA_FLOAT, (long) r * c.vocabulary + i, values[i]);
        }
        SamplingKernels.write(rows.get(r), parameters.memory(), r);
        Arrays.stream(context(c, r)).forEach(context::add);
        starts.add(context.size());
      }
      Tensor out = bench.device(DType.I32, count);
      Tensor workspace =
          bench.device(
              DType.I64, SamplingKernels.sampleWorkspaceBytes(count, c.vocabulary) / Long.BYTES);
      new SamplingKernels(bench.kernels)
          .sample(
              out,
              bench.up(logits),
              bench.up(parameters),
              SamplingKernels.Needs.of(rows),
              bench.up(bench.integers(context)),
              bench.up(bench.integers(starts)),
              workspace);
      return bench.downIntegers(out);
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  private static int[] onHost(Case c) {
    int count = c.rows.size();
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      float[] values = new float[count * c.vocabulary];
      List<int[]> contexts = new ArrayList<>();
      for (int r = 0; r < count; r++) {
        System.arraycopy(logits(c, r), 0, values, r * c.vocabulary, c.vocabulary);
        contexts.add(context(c, r));
      }
      Tensor out = bench.host(DType.I32, count);
      reference.sample(out, bench.floats(values).reshape(count, c.vocabulary), c.rows, contexts);
      return out.memory().toArray(ValueLayout.JAVA_INT);
    }
  }
}
