package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.Decoder;
import dev.lathe.model.PlainLlama;
import dev.lathe.model.Scoring;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DecoderGradientTest {
  private static final int SEQUENCES = 2;

  private static final int LENGTH = 13;

  /** So that a sequence has several, and the last is no whole one. */
  private static final int BLOCK = 5;

  /** Unit roundoff of F32. */
  private static final double U = 0x1p-24;

  private final TinyModel model = new TinyModel(11);
  private final int[] inputs = tokens(1);
  private final int[] targets = tokens(2);

  DecoderGradientTest() {
    targets[3] = -1;
    inputs[5] = inputs[4]; // a token twice: its embedding's gradient adds up
  }

  @AfterEach
  void close() {
    model.close();
  }

  @Test
  void logitsAreTheDecoders() {
    float[] logits = logitsOf(Parameters.load(model));
    try (Decoder decoder = Decoder.load(model, new ReferenceBackend())) {
      List<int[]> sequences = new ArrayList<>();
      for (int s = 0; s < SEQUENCES; s++) {
        sequences.add(Arrays.copyOfRange(inputs, s * LENGTH, (s + 1) * LENGTH));
      }
      int[] compared = {0};
      Scoring.score(
          decoder,
          sequences,
          (sequence, first, expected) -> {
            for (int r = 0; r < expected.size(0); r++) {
              for (int c = 0; c < TinyModel.VOCABULARY; c++) {
                float value =
                    Floats.get(expected.memory(), DType.F32, (long) r * TinyModel.VOCABULARY + c);
                int row = sequence * LENGTH + first + r;
                assertThat((double) logits[row * TinyModel.VOCABULARY + c])
                    .isCloseTo(value, within(logitTolerance(logits)));
                compared[0]++;
              }
            }
          });
      assertThat(compared[0]).isEqualTo(SEQUENCES * LENGTH * TinyModel.VOCABULARY);
    }
  }

  /**
   * Each of the layers' sums of at most 44 terms rounds by n u of its magnitude, and the norms
   * between them keep magnitudes near one: 2 layers of 7 products and the head, 15 in all, against
   * the largest logit.
   */
  private static double logitTolerance(float[] logits) {
    float largest = 0;
    for (float logit : logits) {
      largest = Math.max(largest, Math.abs(logit));
    }
    return 15 * TinyModel.INTERMEDIATE * U * largest;
  }

  private float[] logitsOf(Parameters parameters) {
    DecoderGradient pass = new DecoderGradient(parameters, SEQUENCES, LENGTH, BLOCK);
    pass.loss(inputs, targets);
    return pass.logits().clone();
  }

  @Test
  void gradientOfEveryKindOfWeightIsThatOfFiniteDifferences() {
    Parameters parameters = Parameters.load(model);
    checkGradient(parameters);
  }

  @Test
  void aTiedEmbeddingCollectsBothGradients() {
    model.replace("lm_head.weight", null);
    model.config().put("tie_word_embeddings", true);
    Parameters parameters = Parameters.load(model);
    model.replace("lm_head.weight", model.tensor("model.embed_tokens.weight"));
    checkGradient(parameters);
  }

  @Test
  void aTensorThatTrainingDoesNotKnowIsRefused() {
    model.replace("model.layers.0.self_attn.q_proj.bias", model.tensor("model.norm.weight"));
    assertThatThrownBy(() -> Parameters.load(model))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("q_proj.bias");
  }

  /**
   * Central differences over a double-precision Llama that shares nothing with the code under test.
   * With steps h of 2^-7 and 2^-8, Richardson's extrapolation leaves an error of order h^4.
   */
  private void checkGradient(Parameters parameters) {
    DecoderGradient pass = new DecoderGradient(parameters, SEQUENCES, LENGTH, BLOCK);
    double sum = pass.lossAndGradient(inputs, targets, 1);
    assertThat(sum).isCloseTo(plainLoss(), within(1e-4 * sum));
    SplittableRandom random = new SplittableRandom(3);
    for (Parameters.Entry entry : parameters.entries()) {
      int largest = entry.offset();
      double norm = 0;
      for (int i = entry.offset(); i < entry.offset() + entry.elements(); i++) {
        norm = Math.hypot(norm, pass.gradient()[i]);
        largest = Math.abs(pass.gradient()[i]) > Math.abs(pass.gradient()[largest]) ? i : largest;
      }
      assertThat(norm).as(entry.name()).isGreaterThan(1e-3);
      int some = entry.offset() + random.nextInt(entry.elements());
      for (int index : new int[] {largest, some}) {
        int element = index - entry.offset();
        double coarse = difference(entry.name(), element, 0x1p-7f);
        double fine = difference(entry.name(), element, 0x1p-8f);
        double expected = (4 * fine - coarse) / 3;
        assertThat((double) pass.gradient()[index])
            .as("%s[%d]", entry.name(), element)
            .isCloseTo(expected, within(Math.abs(fine - coarse) / 4 + 1e-4 * norm));
      }
    }
  }

  private double difference(String name, int element, float step) {
    Tensor tensor = model.tensor(name);
    float value = Floats.get(tensor.memory(), DType.F32, element);
    float above = value + step;
    float below = value - step;
    Floats.set(tensor.memory(), DType.F32, element, above);
    double up = plainLoss();
    Floats.set(tensor.memory(), DType.F32, element, below);
    double down = plainLoss();
    Floats.set(tensor.memory(), DType.F32, element, value);
    return (up - down) / ((double) above - below);
  }

  private double plainLoss() {
    double loss = 0;
    for (int s = 0; s < SEQUENCES; s++) {
      double[][] logits =
          new PlainLlama(model).logits(Arrays.copyOfRange(inputs, s * LENGTH, (s + 1) * LENGTH));
      for (int t = 0; t < LENGTH; t++) {
        int target = targets[s * LENGTH + t];
        if (target >= 0) {
          double sum = 0;
          for (double logit : logits[t]) {
            sum += Math.exp(logit);
          }
          loss += Math.log(sum) - logits[t][target];
        }
      }
    }
    return loss;
  }

  private static int[] tokens(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    return random.ints((long) SEQUENCES * LENGTH, 0, TinyModel.VOCABULARY).toArray();
  }
}
