package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.tensor.DType;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** native/cpu/int8_attention_impl.h: single tokens over INT8 caches, multiplied as bytes. */
final class Int8AttentionTest {
  private static final InstructionSet SET = InstructionSet.AVX512VNNI;
  private static final int[] CONTEXTS =
      IntStream.concat(IntStream.rangeClosed(1, 50), IntStream.of(127, 128, 129, 255, 256, 1000))
          .toArray();

  @BeforeAll
  static void needsTheInstructions() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
    Assumptions.assumeTrue(
        CpuLibrary.instructionSets().contains(SET), "this processor has no " + SET);
  }

  /**
   * Errors of 16 bits on average, whatever heads share tiles: 8 bits of a query or of weights would
   * be some 200 times as far off.
   */
  @ParameterizedTest
  @CsvSource({
    "32, 1", "32, 2", "32, 3", "32, 4", "32, 5", "32, 8", "64, 1", "64, 2", "64, 3", "64, 4",
    "64, 7", "96, 1", "96, 2", "96, 3", "96, 4", "96, 6", "128, 1", "128, 2", "128, 3", "128, 4",
    "128, 8"
  })
  void roundsToSixteenBits(int headDim, int group) {
    for (int pageSize : new int[] {16, 32}) {
      try (DecodeStep step = decode(shape(2 * group, 2, headDim), pageSize, CONTEXTS)) {
        assertThat(error(step, step.run(SET, 1)))
            .as("pages of %d: root of the mean of the squares", pageSize)
            .isLessThan(2e-5);
      }
    }
  }

  /** F32 is ten times nearer: the integers are what is tested here. */
  @Test
  void floatsAreNearer() {
    try (DecodeStep step = decode(shape(2, 2, 64), 16, CONTEXTS)) {
      double integers = error(step, step.run(SET, 1));
      assertThat(error(step, step.run(InstructionSet.AVX512, 1))).isLessThan(integers / 10);
    }
  }

  /** AVX512BF16 has the same products. */
  @Test
  void theNextSetGivesTheSameBits() {
    Assumptions.assumeTrue(
        CpuLibrary.instructionSets().contains(InstructionSet.AVX512BF16), "no AVX512BF16");
    try (DecodeStep step = decode(shape(6, 2, 64), 16, CONTEXTS)) {
      assertThat(step.run(InstructionSet.AVX512BF16, 1)).isDeepEqualTo(step.run(SET, 1));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {32, 64, 96, 128})
  void theSameBitsAloneInABatchAndWithAnyThreads(int headDim) {
    AttentionInvariance.aloneInABatchAndWithAnyThreads(SET, DType.I8, headDim, CONTEXTS);
  }

  @ParameterizedTest
  @ValueSource(ints = {32, 64, 96, 128})
  void theSameBitsWhateverHeadsShareATile(int headDim) {
    AttentionInvariance.whateverHeadsShareATile(SET, DType.I8, headDim);
  }

  @ParameterizedTest
  @ValueSource(ints = {10, 32, 48, 128})
  void whatLiesBeyondAContextDoesNotCount(int headDim) {
    for (int group : new int[] {1, 4}) {
      for (int pageSize : new int[] {12, 32}) {
        try (DecodeStep step = decode(shape(group, 1, headDim), pageSize, CONTEXTS)) {
          float[][] nan = step.run(SET, 1);
          step.fillBeyond(3e38f);
          assertThat(step.run(SET, 1)).isDeepEqualTo(nan);
          assertThat(nan[0][0]).isFinite();
        }
      }
    }
  }

  /** A row that isn't finite makes NaN of all that sees it, as its scale is NaN. */
  @ParameterizedTest
  @ValueSource(ints = {10, 32, 64, 96, 128})
  void notANumberStaysNone(int headDim) {
    SplittableRandom random = new SplittableRandom(headDim);
    float[] odd = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
    for (int i = 0; i < 60; i++) {
      int context = 1 + random.nextInt(300);
      try (DecodeStep step = decode(shape(5, 1, headDim), 16, context)) {
        float value = odd[random.nextInt(3)];
        int d = random.nextInt(headDim);
        int j = random.nextInt(context);
        int head = 0;
        int heads = 5;
        switch (i % 3) {
          case 0 -> {
            head = random.nextInt(5);
            heads = 1;
            step.setQuery(0, head, d, value);
          }
          case 1 -> step.setKey(0, 0, j, d, value);
          default -> step.setValue(0, 0, j, d, value);
        }
        float[] out = step.run(SET, 1)[0];
        for (int c = 0; c < out.length; c++) {
          boolean spoilt = c / headDim >= head && c / headDim < head + heads;
          assertThat(Float.isNaN(out[c]))
              .as("case %d, column %d: %s", i, c, out[c])
              .isEqualTo(spoilt);
        }
      }
    }
  }

  /**
   * One key of weight 1 and so many of 2e-6 that together they have a third of it: weights share a
   * scale with few others, or they would be lost.
   */
  @Test
  void manySmallWeightsAreNotLost() {
    int keys = 160_000;
    AttentionShape shape = new AttentionShape(1, 1, 32, 1);
    try (DecodeStep step = new DecodeStep(3, shape, 16, DType.I8, 1, keys)) {
      for (int d = 0; d < 32; d++) {
        step.setQuery(0, 0, d, d == 0 ? (float) Math.log(2e-6) : 0);
      }
      for (int j = 0; j < keys; j++) {
        for (int d = 0; d < 32; d++) {
          step.setKey(0, 0, j, d, d == 0 && j != 77_777 ? 1 : 0);
          step.setValue(0, 0, j, d, j == 77_777 ? -1 : 1);
        }
      }
      double tail = (keys - 1) * 2e-6;
      assertThat((double) step.run(SET, 1)[0][5])
          .isCloseTo((tail - 1) / (tail + 1), org.assertj.core.data.Offset.offset(2e-3));
    }
  }

  /** Keys of all sizes, zero and too small for a scale among them. */
  @Test
  void rowsOfZerosAndOfHardlyAnything() {
    for (float size : new float[] {0, 0x1p-149f, 0x1p-120f, 0x1p-100f}) {
      try (DecodeStep step = decode(shape(2, 1, 32), 16, 40)) {
        for (int j = 0; j < 40; j++) {
          for (int d = 0; d < 32; d++) {
            step.setKey(0, 0, j, d, size);
            step.setValue(0, 0, j, d, j == 3 ? 1 : size);
          }
        }
        float[] out = step.run(SET, 1)[0];
        for (float x : out) {
          assertThat(x).isCloseTo(1 / 40f, org.assertj.core.data.Offset.offset(1e-4f));
        }
      }
    }
  }

  /** Against attention over the codes in double precision. */
  private static double error(DecodeStep step, float[][] out) {
    int headDim = step.shape.headDim();
    int group = step.shape.heads() / step.shape.kvHeads();
    double squares = 0;
    long count = 0;
    for (int s = 0; s < step.contexts.length; s++) {
      int n = step.contexts[s];
      for (int head = 0; head < step.shape.heads(); head++) {
        double[] weights = new double[n];
        double largest = Double.NEGATIVE_INFINITY;
        double[][] values = new double[n][];
        for (int j = 0; j < n; j++) {
          float[] key = new float[headDim];
          float[] value = new float[headDim];
          for (int d = 0; d < headDim; d++) {
            key[d] = step.key(s, head / group, j, d);
            value[d] = step.value(s, head / group, j, d);
          }
          double[] stored = stored(key);
          values[j] = stored(value);
          for (int d = 0; d < headDim; d++) {
            weights[j] += step.query(s, head, d) * stored[d] * step.shape.scale();
          }
          largest = Math.max(largest, weights[j]);
        }
        double sum = 0;
        for (int j = 0; j < n; j++) {
          weights[j] = Math.exp(weights[j] - largest);
          sum += weights[j];
        }
        for (int d = 0; d < headDim; d++) {
          double mean = 0;
          for (int j = 0; j < n; j++) {
            mean += weights[j] * values[j][d] / sum;
          }
          double error = out[s][head * headDim + d] - mean;
          squares += error * error;
          count++;
        }
      }
    }
    return Math.sqrt(squares / count);
  }

  private static double[] stored(float[] row) {
    TokenQuantization quantized = TokenQuantization.of(row);
    double[] stored = new double[row.length];
    for (int d = 0; d < row.length; d++) {
      stored[d] = (double) quantized.scale() * quantized.codes()[d];
    }
    return stored;
  }

  private static DecodeStep decode(AttentionShape shape, int pageSize, int... contexts) {
    return new DecodeStep(7, shape, pageSize, DType.I8, 1, contexts);
  }

  private static AttentionShape shape(int heads, int kvHeads, int headDim) {
    return AttentionInvariance.shape(heads, kvHeads, headDim);
  }
}
