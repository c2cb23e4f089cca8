package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.error.InvalidInputException;
import org.junit.jupiter.api.Test;

class SamplerTest {
  private static final int DRAWS = 40_000;
  private static final float[] LOGITS = {0f, 2f, 1f, 2f, -1f, -0f};

  @Test
  void greedyTakesTheFirstOfTheLargest() {
    assertThat(new Sampler(Sampling.GREEDY).draw(LOGITS.clone(), new int[0], 0)).isEqualTo(1);
  }

  @Test
  void frequenciesFollowTheSoftmaxAtTheTemperature() {
    double temperature = 0.7;
    double[] expected = softmax(temperature, new boolean[] {true, true, true, true, true, true});
    assertFrequencies(new Sampling(temperature, 0, 1, 5), expected);
  }

  @Test
  void topKDrawsFromTheKMostLikelyOnly() {
    double[] expected = softmax(1, new boolean[] {false, true, true, true, false, false});
    assertFrequencies(new Sampling(1, 3, 1, 5), expected);
  }

  @Test
  void topPDrawsFromTheSmallestSetThatReachesP() {
    // softmax: 0.372 each for the two 2s: two reach 0.744, three are needed for 0.75.
    double[] two = softmax(1, new boolean[] {false, true, false, true, false, false});
    double[] three = softmax(1, new boolean[] {false, true, true, true, false, false});
    assertFrequencies(new Sampling(1, 0, 0.74, 5), two);
    assertFrequencies(new Sampling(1, 0, 0.75, 5), three);
  }

  @Test
  void ofEqualLogitsTheLowerTokenIsKept() {
    assertFrequencies(new Sampling(1, 1, 1, 5), new double[] {0, 1, 0, 0, 0, 0});
  }

  @Test
  void minPKeepsWhatIsLikelyEnoughBesideTheLikeliest() {
    // The 1 is e^-1 = 0.368 times as likely as the 2s, the zeros e^-2 = 0.135.
    double[] three = softmax(1, new boolean[] {false, true, true, true, false, false});
    assertFrequencies(new Sampling(1, 0, 1, 0.36, 1, 5), three);
    double[] two = softmax(1, new boolean[] {false, true, false, true, false, false});
    assertFrequencies(new Sampling(1, 0, 1, 0.37, 1, 5), two);
  }

  @Test
  void repetitionPenaltyLowersWhatWasSeenOnceHoweverOften() {
    float[] logits = LOGITS.clone();
    Sampler sampler = new Sampler(new Sampling(0, 0, 1, 0, 2, 0));
    assertThat(sampler.draw(logits, new int[] {1, 4, 1, 9}, 3)).isEqualTo(3);
    assertThat(logits).containsExactly(0f, 1f, 1f, 2f, -2f, -0f);
    logits = LOGITS.clone();
    assertThat(sampler.draw(logits, new int[] {1, 3}, 2)).isEqualTo(1);
    assertThat(logits).containsExactly(0f, 1f, 1f, 1f, -1f, -0f);
  }

  @Test
  void logprobsAreThoseOfTheModelAndTheLikeliestComeFirst() {
    double[] p = softmax(1, new boolean[] {true, true, true, true, true, true});
    TokenLogprobs logprobs = TokenLogprobs.of(LOGITS, 2, 3);
    assertThat(logprobs.logprob()).isCloseTo(Math.log(p[2]), within(1e-12));
    assertThat(logprobs.top()).extracting(TokenLogprobs.Entry::token).containsExactly(1, 3, 2);
    assertThat(logprobs.top().getFirst().logprob()).isCloseTo(Math.log(p[1]), within(1e-12));
    assertThat(TokenLogprobs.of(LOGITS, 2, 0).top()).isEmpty();
    assertThat(TokenLogprobs.of(LOGITS, 2, 100).top()).hasSize(6);
  }

  @Test
  void refusesWhatMakesNoSense() {
    assertThatThrownBy(() -> new Sampling(-1, 0, 1, 0)).isInstanceOf(InvalidInputException.class);
    assertThatThrownBy(() -> new Sampling(Double.NaN, 0, 1, 0))
        .isInstanceOf(InvalidInputException.class);
    assertThatThrownBy(() -> new Sampling(1, -1, 1, 0)).isInstanceOf(InvalidInputException.class);
    assertThatThrownBy(() -> new Sampling(1, 0, 0, 0)).isInstanceOf(InvalidInputException.class);
    assertThatThrownBy(() -> new Sampling(1, 0, 1.1, 0)).isInstanceOf(InvalidInputException.class);
    assertThatThrownBy(() -> new Sampling(1, 0, 1, -0.1, 1, 0)).hasMessageContaining("min-p");
    assertThatThrownBy(() -> new Sampling(1, 0, 1, 0, 0, 0)).hasMessageContaining("repetition");
  }

  private static double[] softmax(double temperature, boolean[] kept) {
    double[] p = new double[kept.length];
    double sum = 0;
    for (int i = 0; i < p.length; i++) {
      p[i] = kept[i] ? Math.exp(LOGITS[i] / temperature) : 0;
      sum += p[i];
    }
    for (int i = 0; i < p.length; i++) {
      p[i] /= sum;
    }
    return p;
  }

  /** Within five standard deviations of a binomial count; what has no probability never comes. */
  private static void assertFrequencies(Sampling sampling, double[] expected) {
    int[] counts = new int[expected.length];
    Sampler sampler = new Sampler(sampling);
    for (int i = 0; i < DRAWS; i++) {
      counts[sampler.draw(LOGITS.clone(), new int[0], 0)]++;
    }
    for (int i = 0; i < counts.length; i++) {
      double deviation = Math.sqrt(DRAWS * expected[i] * (1 - expected[i]));
      assertThat(Math.abs(counts[i] - DRAWS * expected[i]))
          .as("token %d came %d times, probability %.4f", i, counts[i], expected[i])
          .isLessThanOrEqualTo(5 * deviation);
    }
  }
}
