package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.DType;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** native/cpu/bf16_attention_impl.h: single tokens over BF16 caches, multiplied in BF16. */
final class Bf16AttentionTest {
  private static final InstructionSet SET = InstructionSet.AVX512BF16;
  private static final int[] CONTEXTS =
      IntStream.concat(IntStream.rangeClosed(1, 50), IntStream.of(132, 255, 1000)).toArray();

  @BeforeAll
  static void needsTheInstructions() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
    Assumptions.assumeTrue(
        CpuLibrary.instructionSets().contains(SET), "this processor has no " + SET);
  }

  /** Heads of every size and tiles of 1 to 4 of a group, alone and one after another. */
  @ParameterizedTest
  @CsvSource({
    "32, 1", "32, 2", "32, 3", "32, 4", "32, 5", "32, 8", "64, 1", "64, 2", "64, 3", "64, 4",
    "64, 7", "96, 1", "96, 2", "96, 3", "96, 4", "96, 6", "128, 1", "128, 2", "128, 3", "128, 4",
    "128, 8"
  })
  void roundsWhatItSaysItRounds(int headDim, int group) {
    for (int pageSize : new int[] {16, 32}) {
      try (DecodeStep step = decode(shape(2 * group, 2, headDim), pageSize, CONTEXTS)) {
        assertThat(Bf16Definition.worst(step, step.run(SET, 1)))
            .as("pages of %d: the largest error in units of its bound", pageSize)
            .isLessThan(1);
      }
    }
  }

  /** The bound is so narrow that a query or a weight which is not rounded would be seen. */
  @ParameterizedTest
  @ValueSource(ints = {32, 128})
  void anotherRoundingWouldBeSeen(int headDim) {
    try (DecodeStep step = decode(shape(2, 2, headDim), 16, CONTEXTS)) {
      assertThat(Bf16Definition.worst(step, step.run(InstructionSet.AVX512, 1))).isGreaterThan(5);
    }
  }

  /** Other pages, heads, types, prompts and shapes are computed as with the set below. */
  @Test
  void everythingElseIsAsBefore() {
    AttentionShape usual = shape(4, 2, 32);
    AttentionShape window = new AttentionShape(4, 2, 32, 0.2f, 7, AttentionShape.NO_CAP);
    AttentionShape cap = new AttentionShape(4, 2, 32, 0.2f, AttentionShape.NO_WINDOW, 3);
    same(usual, 20, DType.BF16, 1);
    same(usual, 8, DType.BF16, 1);
    same(usual, 16, DType.F16, 1);
    same(usual, 16, DType.F32, 1);
    same(usual, 16, DType.BF16, 16);
    same(window, 16, DType.BF16, 1);
    same(cap, 16, DType.BF16, 1);
    for (int headDim : new int[] {16, 48, 160, 256}) {
      same(shape(4, 2, headDim), 16, DType.BF16, 1);
    }
  }

  private static void same(AttentionShape shape, int pageSize, DType type, int newTokens) {
    try (DecodeStep step = new DecodeStep(5, shape, pageSize, type, newTokens, 16, 40, 133)) {
      assertThat(step.run(SET, 1))
          .as("%s, pages of %d, %s, %d new tokens", shape, pageSize, type, newTokens)
          .isDeepEqualTo(step.run(InstructionSet.AVX512VNNI, 1));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {32, 64, 96, 128})
  void theSameBitsAloneInABatchAndWithAnyThreads(int headDim) {
    AttentionInvariance.aloneInABatchAndWithAnyThreads(SET, DType.BF16, headDim, CONTEXTS);
  }

  /** A few tokens of a sequence are single tokens, too. */
  @Test
  void theSameBitsInAChunk() {
    AttentionShape shape = shape(3, 1, 64);
    try (DecodeStep chunk = new DecodeStep(9, shape, 16, DType.BF16, 5, 37);
        DecodeStep last = new DecodeStep(9, shape, 16, DType.BF16, 1, 37)) {
      for (int i = 0; i < shape.heads() * shape.headDim(); i++) {
        last.setQuery(0, 0, i, chunk.query(4, 0, i));
      }
      for (int j = 0; j < 37; j++) {
        for (int d = 0; d < shape.headDim(); d++) {
          last.setKey(0, 0, j, d, chunk.key(0, 0, j, d));
          last.setValue(0, 0, j, d, chunk.value(0, 0, j, d));
        }
      }
      assertThat(last.run(SET, 1)[0]).isEqualTo(chunk.run(SET, 1)[4]);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {32, 64, 96, 128})
  void theSameBitsWhateverHeadsShareATile(int headDim) {
    AttentionInvariance.whateverHeadsShareATile(SET, DType.BF16, headDim);
  }

  @ParameterizedTest
  @ValueSource(ints = {32, 64, 96, 128})
  void whatLiesBeyondAContextDoesNotCount(int headDim) {
    for (int group : new int[] {1, 4}) {
      try (DecodeStep step = decode(shape(group, 1, headDim), 32, CONTEXTS)) {
        float[][] nan = step.run(SET, 1);
        for (float value : new float[] {0, 3e38f, Float.NEGATIVE_INFINITY}) {
          step.fillBeyond(value);
          assertThat(step.run(SET, 1)).as("beyond: %s", value).isDeepEqualTo(nan);
        }
      }
    }
  }

  /** NaN and infinities come out where they come out of kernels that round nothing. */
  @ParameterizedTest
  @ValueSource(ints = {32, 64, 96, 128})
  void notANumberStaysNone(int headDim) {
    SplittableRandom random = new SplittableRandom(headDim);
    float[] odd = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
    int spoilt = 0;
    for (int i = 0; i < 60; i++) {
      int context = 1 + random.nextInt(40);
      try (DecodeStep step = decode(shape(5, 1, headDim), 16, context)) {
        for (int n = random.nextInt(1, 3); n > 0; n--) {
          float value = odd[random.nextInt(3)];
          int d = random.nextInt(headDim);
          int j = random.nextInt(context);
          switch (random.nextInt(3)) {
            case 0 -> step.setQuery(0, random.nextInt(5), d, value);
            case 1 -> step.setKey(0, 0, j, d, value);
            default -> step.setValue(0, 0, j, d, value);
          }
        }
        float[] is = step.run(SET, 1)[0];
        float[] should = step.run(InstructionSet.GENERIC, 1)[0];
        assertThat(kinds(is)).as("case %d", i).isEqualTo(kinds(should));
        spoilt += Arrays.equals(kinds(is), new float[is.length]) ? 0 : 1;
      }
    }
    assertThat(spoilt).isGreaterThan(40);
  }

  /** NaN and infinities as they are, every finite number as 0. */
  private static float[] kinds(float[] row) {
    float[] kinds = row.clone();
    for (int c = 0; c < kinds.length; c++) {
      kinds[c] = Float.isFinite(kinds[c]) ? 0 : kinds[c];
    }
    return kinds;
  }

  /** Scores far apart, and so large that their difference from the largest must be exact. */
  @Test
  void theLargestScoreHasTheWholeWeight() {
    for (float size : new float[] {1e4f, 1e12f, 1e18f}) {
      try (DecodeStep step = decode(shape(4, 1, 32), 16, 45)) {
        for (int head = 0; head < 4; head++) {
          for (int d = 0; d < 32; d++) {
            step.setQuery(0, head, d, d == head ? size : 0);
          }
        }
        for (int j = 0; j < 45; j++) {
          for (int d = 0; d < 32; d++) {
            step.setKey(0, 0, j, d, j == 17 ? size : -size);
          }
        }
        float[] out = step.run(SET, 1)[0];
        for (int c = 0; c < out.length; c++) {
          assertThat(out[c]).as("%s: column %d", size, c).isEqualTo(step.value(0, 0, 17, c % 32));
        }
      }
    }
  }

  private static DecodeStep decode(AttentionShape shape, int pageSize, int... contexts) {
    return new DecodeStep(3, shape, pageSize, DType.BF16, 1, contexts);
  }

  private static AttentionShape shape(int heads, int kvHeads, int headDim) {
    return AttentionInvariance.shape(heads, kvHeads, headDim);
  }
}
