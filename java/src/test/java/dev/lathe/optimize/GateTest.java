package dev.lathe.optimize;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.report.Stage.Quality;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GateTest {
  @ParameterizedTest
  @ValueSource(doubles = {-3, 0, 1.49, 1.5})
  void aLossUpToTheLimitIsGoodEnough(double loss) {
    assertThat(Gate.tooMuchLost(quality(loss), 1.5)).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(doubles = {1.5000001, 947, Double.POSITIVE_INFINITY, Double.NaN})
  void anyLossBeyondItIsRefused(double loss) {
    assertThat(Gate.tooMuchLost(quality(loss), 1.5))
        .hasValueSatisfying(decision -> assertThat(decision.accepted()).isFalse());
  }

  @Test
  void theReasonNamesLossAndLimit() {
    assertThat(Gate.tooMuchLost(quality(947), 1.5).orElseThrow().reason())
        .isEqualTo("perplexity +947 % where +1.50 % is allowed");
  }

  @Test
  void smallerIsWorthHavingEvenIfSlower() {
    Gate.Decision decision = Gate.worthHaving(quality(0.1), 1.5, 250, 1000, 0.78, false);
    assertThat(decision.accepted()).isTrue();
    assertThat(decision.reason()).contains("4.00× smaller", "0.78× its speed");
  }

  @Test
  void asLargeIsWorthHavingOnlyIfClearlyFaster() {
    assertThat(Gate.worthHaving(quality(0), 1.5, 1000, 1000, 1.2, true).accepted()).isTrue();
    assertThat(Gate.worthHaving(quality(0), 1.5, 1000, 1000, 1.2, false).accepted()).isFalse();
    assertThat(Gate.worthHaving(quality(0), 1.5, 1100, 1000, 1.0, false).reason())
        .contains("neither smaller nor clearly faster", "1.10× larger");
  }

  private static Quality quality(double loss) {
    return new Quality(
        3.47 * (1 + loss / 100),
        OptionalDouble.empty(),
        loss,
        Optional.empty(),
        OptionalDouble.empty(),
        OptionalDouble.empty(),
        1000);
  }
}
