package dev.lathe.optimize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.measure.Outcome;
import dev.lathe.measure.Sample;
import dev.lathe.optimize.SpeedTrial.Outcomes;
import dev.lathe.optimize.SpeedTrial.Repetition;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class SpeedTrialTest {

  @Test
  void separatedIsClear() {
    assertThat(speeds(101, 102, 103).isClearlyFasterThan(speeds(98, 99, 100))).isTrue();
    assertThat(speeds(110).isClearlyFasterThan(speeds(100))).isTrue();
  }

  /** A minute in which everything took twice as long: each pair says 1.4. */
  @Test
  void inTurnsIsClearWhateverTheMinute() {
    Outcomes before = speeds(100, 48, 95);
    assertThat(speeds(140, 68, 132).isClearlyFasterThan(before)).isTrue();
    assertThat(before.isClearlyFasterThan(speeds(140, 68, 132))).isFalse();
  }

  @Test
  void whatScattersIsNot() {
    // Faster in the middle, slower in one pair of three.
    assertThat(speeds(140, 90, 130).isClearlyFasterThan(speeds(100, 100, 95))).isFalse();
    // Faster in each pair, but by what differs as much.
    assertThat(speeds(101, 150, 104).isClearlyFasterThan(speeds(100, 102, 103))).isFalse();
    assertThat(speeds(100, 100, 100).isClearlyFasterThan(speeds(100, 100, 100))).isFalse();
    assertThat(speeds(99).isClearlyFasterThan(speeds(100))).isFalse();
  }

  /** Repetitions of one sequence of 100 tokens, at so many tokens a second. */
  private static Outcomes speeds(double... tokensPerSecond) {
    List<Repetition> repetitions =
        Arrays.stream(tokensPerSecond)
            .mapToObj(speed -> {
              long[] times = new long[100];
              for (int i = 0; i < times.length; i++) {
                times[i] = Math.round(1e9 * (i + 1) / speed);
              }
              return new Repetition(List.of(List.of(new Sample(0, times, 1, Outcome.COMPLETED))));
            })
            .toList();
    Outcomes outcomes = new Outcomes(repetitions, List.of(), true);
    assertThat(outcomes.tokensPerSecond()[0]).isCloseTo(tokensPerSecond[0], within(1e-6));
    return outcomes;
  }
}
