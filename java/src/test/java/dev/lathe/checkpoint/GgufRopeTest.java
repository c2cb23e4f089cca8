package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.checkpoint.GgufRope.Llama3;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.node.ObjectNode;

/** Factors of frequencies, and the words of a {@code config.json} that they came from. */
class GgufRopeTest {
  /** Llama 3.1 8B, 3.1 405B, 3.2 1B, 3.2 3B as published, and others that somebody might train. */
  @ParameterizedTest
  @CsvSource({
    "500000, 128, 8, 1, 4, 8192",
    "500000, 64, 32, 1, 4, 8192",
    "500000, 128, 32, 1, 4, 8192",
    "500000, 128, 8, 1, 2.5, 1024",
    "100, 10, 8, 1, 4, 40",
    "10000, 32, 2, 1, 32, 300",
  })
  void parametersComeBackFromTheFactors(
      double theta, int headDim, double factor, double low, double high, double context) {
    Llama3 llama = new Llama3(factor, low, high, context);
    GgufRope rope = new GgufRope(theta, headDim);
    assertThat(rope.solve(rope.factors(llama))).contains(llama);
    assertThat(rope.solve(inSinglePrecision(theta, headDim, llama))).contains(llama);
  }

  /** As the format's reference implementation computes them, every step rounded to F32. */
  private static float[] inSinglePrecision(double theta, int headDim, Llama3 llama) {
    float[] factors = new float[headDim / 2];
    for (int i = 0; i < factors.length; i++) {
      float frequency = 1 / (float) Math.pow((float) theta, 2f * i / headDim);
      float wave = 2 * (float) Math.PI / frequency;
      if (wave < llama.originalContext() / llama.high()) {
        factors[i] = 1;
      } else if (wave > llama.originalContext() / llama.low()) {
        factors[i] = (float) llama.factor();
      } else {
        float smooth = ((float) llama.originalContext() / wave - (float) llama.low());
        smooth /= (float) (llama.high() - llama.low());
        factors[i] = 1 / ((1 - smooth) / (float) llama.factor() + smooth);
      }
    }
    return factors;
  }

  /**
   * All of them, not only the product: low 2 and high 8 over 16384 is the same as 1, 4 and 8192.
   */
  @Test
  void theSharedFactorIsSettledByLowBeingOne() {
    GgufRope rope = new GgufRope(500_000, 128);
    assertThat(rope.solve(rope.factors(new Llama3(8, 2, 8, 16_384))))
        .contains(new Llama3(8, 1, 4, 8192));
  }

  @Test
  void factorsOfNoFormulaStayNumbers() {
    GgufRope rope = new GgufRope(500_000, 128);
    float[] factors = rope.factors(new Llama3(8, 1, 4, 8192));
    for (int i : new int[] {0, 20, 32, 35, 40, 63}) {
      float[] other = factors.clone();
      other[i] *= 1.0001f;
      assertThat(rope.solve(other)).as("factor %d", i).isEmpty();
    }
    float[] ones = new float[64];
    Arrays.fill(ones, 1);
    assertThat(rope.solve(ones)).isEmpty();
    ObjectNode config = StrictJson.mapper().createObjectNode();
    rope.describe(ones, config);
    assertThat(config.get("rope_scaling").get("rope_type").stringValue()).isEqualTo("factors");
    assertThat(config.get("rope_scaling").get("factors").size()).isEqualTo(64);
  }
}
