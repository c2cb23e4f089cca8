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
    Gate.Decision decision =
        Gate.worthHaving(quality(0.1), 1.5, size(250), size(1000), 0.78, false);
    assertThat(decision.accepted()).isTrue();
    assertThat(decision.reason()).contains("4.00× smaller", "0.78× its speed");
  }

  @Test
  void asLargeIsWorthHavingOnlyIfClearlyFaster() {
    Gate.Size same = size(1000);
    assertThat(Gate.worthHaving(quality(0), 1.5, same, same, 1.2, true).accepted()).isTrue();
    assertThat(Gate.worthHaving(quality(0), 1.5, same, same, 1.2, false).accepted()).isFalse();
    assertThat(Gate.worthHaving(quality(0), 1.5, size(1100), same, 1.0, false).reason())
        .contains("neither smaller nor clearly faster", "1.10× larger")
        .doesNotContain("KV-cache");
  }

  @Test
  void theSameWeightsAreWorthHavingWithASmallerCache() {
    Gate.Size before = new Gate.Size(1000, 900, 64);
    Gate.Decision decision =
        Gate.worthHaving(quality(0.1), 1.5, new Gate.Size(1000, 900, 36), before, 0.98, false);
    assertThat(decision.accepted()).isTrue();
    assertThat(decision.reason())
        .isEqualTo(
            "perplexity +0.10 % of +1.50 % allowed; as large as the model before it, KV-cache 1.78× smaller, at 0.98× its speed");
    assertThat(keeps(new Gate.Size(1000, 900, 64), before)).isFalse();
    assertThat(keeps(new Gate.Size(1000, 900, 65), before)).isFalse();
    // Where two tools wrote the headers, files of the same tensors are not equally long.
    assertThat(keeps(new Gate.Size(1016, 900, 36), before)).isTrue();
    assertThat(keeps(new Gate.Size(984, 900, 64), before)).isFalse();
  }

  @Test
  void otherWeightsDecideWhateverTheCacheDoes() {
    Gate.Size before = new Gate.Size(1000, 900, 64);
    assertThat(keeps(new Gate.Size(1100, 1000, 36), before)).isFalse();
    Gate.Decision decision =
        Gate.worthHaving(quality(0), 1.5, new Gate.Size(500, 400, 128), before, 1, false);
    assertThat(decision.accepted()).isTrue();
    assertThat(decision.reason())
        .contains("2.00× smaller than the model before it, KV-cache 2.00× larger, at");
  }

  private static boolean keeps(Gate.Size size, Gate.Size before) {
    return Gate.worthHaving(quality(0), 1.5, size, before, 1, false).accepted();
  }

  private static Gate.Size size(long bytes) {
    return new Gate.Size(bytes, bytes, 64);
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
