package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.measure.Quality.Comparison;
import dev.lathe.model.Decoder;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class QualityTest {
  private static final double LN2 = Math.log(2);

  @Test
  void likelihoodAndDivergenceByHand() {
    // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2), each with another constant added to its logits.
    float[] p = {(float) (3 + LN2), 3, 3};
    float[] q = {-7, -7, (float) (-7 + LN2)};
    // Logits are floats: a rounding of 3 + ln 2 is 1.2e-7 and of 7 - ln 2 is 2.4e-7.
    assertThat(QualityMath.negativeLogLikelihood(p, 0)).isEqualTo(LN2, within(1e-6));
    assertThat(QualityMath.negativeLogLikelihood(p, 2)).isEqualTo(2 * LN2, within(1e-6));
    // 1/2 log 2 + 1/4 log 1 + 1/4 log 1/2 = 1/4 log 2.
    assertThat(QualityMath.divergence(p, q)).isEqualTo(LN2 / 4, within(1e-6));
    assertThat(QualityMath.divergence(p, p)).isZero();
    // It is base || candidate and not the other way round: with r = (1/2, 1/2, 0+) they differ.
    float[] r = {0, 0, -20};
    assertThat(QualityMath.divergence(r, p)).isEqualTo(LN2 / 2, within(1e-6));
    assertThat(QualityMath.divergence(p, r)).isGreaterThan(4);
    assertThat(QualityMath.argmax(1, 3, 3, 2)).isEqualTo(1);
  }

  @Test
  void hugeLogitsNeitherOverflowNorVanish() {
    assertThat(QualityMath.negativeLogLikelihood(new float[] {1e30f, 1e30f}, 1))
        .isEqualTo(LN2, within(1e-12));
    assertThat(QualityMath.negativeLogLikelihood(new float[] {1000, 0}, 1))
        .isEqualTo(1000, within(1e-9));
  }

  @Test
  void standardErrorOverDocumentsByHand() {
    // Two documents: 2 tokens of sum 2, 4 tokens of sum 10: mean 12 / 6 = 2.
    // Residuals 2 - 4 = -2 and 10 - 8 = 2: sqrt(2 / 1 * (4 + 4)) / 6 = 4 / 6.
    double[] sums = {2, 10};
    long[] tokens = {2, 4};
    assertThat(QualityMath.clusteredMean(sums, tokens)).isEqualTo(2);
    assertThat(QualityMath.standardError(sums, tokens).getAsDouble())
        .isEqualTo(4 / 6.0, within(1e-12));
    assertThat(QualityMath.standardError(new double[] {1}, new long[] {1})).isEmpty();
  }

  @Test
  void theIntervalHoldsTheTruthAsOftenAsItSaysThoughTokensOfADocumentAreAlike() {
    SplittableRandom random = new SplittableRandom(17);
    int rounds = 2000;
    int documents = 40;
    int clustered = 0;
    int naive = 0;
    for (int i = 0; i < rounds; i++) {
      double[] sums = new double[documents];
      long[] tokens = new long[documents];
      double squares = 0;
      for (int d = 0; d < documents; d++) {
        double level = random.nextGaussian(); // all tokens of a document share it
        tokens[d] = 50;
        for (int t = 0; t < 50; t++) {
          double value = level + random.nextGaussian();
          sums[d] += value;
          squares += value * value;
        }
      }
      double mean = QualityMath.clusteredMean(sums, tokens);
      var interval =
          QualityMath.interval(mean, QualityMath.standardError(sums, tokens), documents)
              .orElseThrow();
      clustered += interval.low() <= 0 && 0 <= interval.high() ? 1 : 0;
      double n = 50.0 * documents;
      double error = Math.sqrt((squares / n - mean * mean) / (n - 1));
      naive += Math.abs(mean) <= 1.96 * error ? 1 : 0;
    }
    // The share of 2000 rounds scatters by 0.5 %; four times that, and 95 % is asymptotic.
    assertThat(100.0 * clustered / rounds).isBetween(92.5, 97.0);
    // The canary: taking tokens for independent would be wrong by far.
    assertThat(100.0 * naive / rounds).isLessThan(60);
  }

  private static EvalText text(int... lengths) {
    SplittableRandom random = new SplittableRandom(3);
    List<int[]> sequences = new ArrayList<>();
    for (int length : lengths) {
      sequences.add(random.ints(length, 0, TinyModel.VOCABULARY).toArray());
    }
    return new EvalText(sequences, 0, true);
  }

  @Test
  void aModelAgainstItselfHasMovedNowhere() {
    EvalText text = text(10, 64, 2, 30, 5);
    List<String> seen = new ArrayList<>();
    try (Decoder one = Decoder.load(new TinyModel(1, true), new ReferenceBackend());
        Decoder same = Decoder.load(new TinyModel(1, true), new ReferenceBackend())) {
      Quality alone = Quality.of(one, text, (done, total) -> seen.add(done + "/" + total));
      Quality beside = Quality.of(one, same, text, Progress.NONE);
      assertThat(seen).containsExactly("1/5", "2/5", "3/5", "4/5", "5/5");
      assertThat(alone.tokens()).isEqualTo(9 + 63 + 1 + 29 + 4);
      assertThat(alone.comparison()).isEmpty();
      Comparison comparison = beside.comparison().orElseThrow();
      assertThat(comparison.basePerplexity()).isEqualTo(alone.perplexity());
      assertThat(comparison.lossPercent()).isZero();
      assertThat(comparison.klMean()).isZero();
      assertThat(comparison.top1Agreement()).isOne();
      assertThat(comparison.lossPercentCi95().orElseThrow().high()).isZero();
    }
  }

  @Test
  void aModelAgainstAnotherIsWhatPlainSumsGive() {
    EvalText text = text(20, 7, 40);
    try (Decoder base = Decoder.load(new TinyModel(1, true), new ReferenceBackend());
        Decoder other = Decoder.load(new TinyModel(2, true), new ReferenceBackend())) {
      Quality ofBase = Quality.of(base, text, Progress.NONE);
      Quality ofOther = Quality.of(other, text, Progress.NONE);
      Quality beside = Quality.of(other, base, text, Progress.NONE);
      Comparison comparison = beside.comparison().orElseThrow();
      assertThat(beside.meanNll()).isEqualTo(ofOther.meanNll());
      assertThat(comparison.baseMeanNll()).isEqualTo(ofBase.meanNll());
      assertThat(comparison.lossPercent())
          .isEqualTo(100 * (ofOther.perplexity() / ofBase.perplexity() - 1), within(1e-9));
      assertThat(comparison.klMean()).isPositive();
      assertThat(comparison.top1Agreement()).isBetween(0.0, 0.99);
      assertThat(comparison.klStandardError()).isPresent();
    }
  }

  @Test
  void modelsOfDifferentVocabulariesAreNotCompared() {
    TinyModel larger =
        new TinyModel(1, true) {
          @Override
          public dev.lathe.tensor.Tensor tensor(String name) {
            dev.lathe.tensor.Tensor tensor = super.tensor(name);
            return name.startsWith("model.embed") ? tensor.rows(0, 10) : tensor;
          }

          @Override
          public tools.jackson.databind.node.ObjectNode config() {
            return super.config().put("vocab_size", 10);
          }
        };
    try (Decoder one = Decoder.load(new TinyModel(1, true), new ReferenceBackend());
        Decoder other = Decoder.load(larger, new ReferenceBackend())) {
      EvalText text = text(5);
      assertThatThrownBy(() -> Quality.of(one, other, text, Progress.NONE))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("vocabulary of 11 and its base of 10");
    }
  }

  @Test
  void logitsThatAreNoNumbersGiveNoPerplexity() {
    TinyModel broken = new TinyModel(1, true);
    // Finite weights, as loading demands, whose products are not.
    Tensor norm = broken.tensor("model.norm.weight");
    for (long i = 0; i < norm.elements(); i++) {
      norm.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, Float.MAX_VALUE);
    }
    Tensor embedding = broken.tensor("model.embed_tokens.weight");
    for (long i = 0; i < embedding.elements(); i++) {
      embedding.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, i % 2 == 0 ? 1e30f : -1e30f);
    }
    try (Decoder decoder = Decoder.load(broken, new ReferenceBackend())) {
      assertThatThrownBy(() -> Quality.of(decoder, text(5), Progress.NONE))
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("document 1, after token 1")
          .hasMessageContaining("Infinity");
    }
  }
}
