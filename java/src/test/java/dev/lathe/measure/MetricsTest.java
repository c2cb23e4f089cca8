package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Every figure on a timeline written by hand. */
class MetricsTest {
  private static final long MS = 1_000_000;

  // Sent at 100 ms, first token at 150, then gaps of 10, 30 and 20.
  private static final Sample A =
      new Sample(
          100 * MS, new long[] {150 * MS, 160 * MS, 190 * MS, 210 * MS}, 5, Outcome.COMPLETED);
  // Sent while A runs; one token only.
  private static final Sample B = new Sample(120 * MS, new long[] {300 * MS}, 7, Outcome.COMPLETED);
  // Failed after a token that came late: it must not move any figure but failures.
  private static final Sample LOST =
      new Sample(50 * MS, new long[] {5000 * MS}, 900, Outcome.FAILED);
  private static final Sample NEVER = new Sample(10 * MS, new long[0], 3, Outcome.CANCELLED);
  private static final List<Sample> ALL = List.of(A, LOST, B, NEVER);

  @Test
  void latenciesOfOneRequest() {
    assertThat(Metrics.timeToFirstTokenMillis(A)).isEqualTo(50);
    // (210 - 150) / 3: the first token and what came before it are not in it.
    assertThat(Metrics.timePerOutputTokenMillis(A)).hasValue(20);
    assertThat(Metrics.timePerOutputTokenMillis(B)).isEmpty();
    assertThat(Metrics.interTokenMillis(A)).containsExactly(10, 30, 20);
    assertThat(Metrics.interTokenMillis(B)).isEmpty();
    assertThat(Metrics.endToEndMillis(A)).isEqualTo(110);
  }

  @Test
  void throughputOfRequestsThatRanTogether() {
    // From 100 ms to 300 ms: 0.2 s.
    assertThat(Metrics.spanSeconds(ALL)).isEqualTo(0.2);
    assertThat(Metrics.outputTokensPerSecond(ALL).getAsDouble()).isEqualTo(25, within(1e-9));
    assertThat(Metrics.totalTokensPerSecond(ALL).getAsDouble()).isEqualTo(85, within(1e-9));
    assertThat(Metrics.requestsPerSecond(ALL).getAsDouble()).isEqualTo(10, within(1e-9));
    assertThat(Metrics.failures(ALL)).isEqualTo(2);
  }

  @Test
  void requestsThatDidNotCompleteHaveNoLatency() {
    assertThat(Metrics.timesToFirstTokenMillis(ALL)).containsExactly(50, 180);
    assertThat(Metrics.timesPerOutputTokenMillis(ALL)).containsExactly(20);
    assertThat(Metrics.endToEndMillis(ALL)).containsExactly(110, 180);
    assertThatThrownBy(() -> Metrics.timeToFirstTokenMillis(LOST))
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(Metrics.outputTokensPerSecond(List.of(LOST, NEVER))).isEmpty();
  }

  @Test
  void aSampleThatRunsBackwardsIsNone() {
    assertThatThrownBy(() -> new Sample(10, new long[] {20, 19}, 1, Outcome.COMPLETED))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new Sample(10, new long[] {9}, 1, Outcome.COMPLETED))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new Sample(10, new long[0], 1, Outcome.COMPLETED))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void aSampleSurvivesItsJson() {
    assertThat(RunJson.read(RunJson.line(A), Sample.class, "here")).isEqualTo(A);
    assertThat(RunJson.line(B))
        .isEqualTo(
            "{\"sent_nanos\":120000000,\"token_nanos\":[300000000],\"prompt_tokens\":7,"
                + "\"outcome\":\"COMPLETED\"}");
  }
}
