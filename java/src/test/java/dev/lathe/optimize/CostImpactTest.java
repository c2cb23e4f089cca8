package dev.lathe.optimize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.report.OptimizeResults.Cost;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

class CostImpactTest {
  /** By hand: 3.60 an hour is 0.001 a second; 100 tokens in that second. */
  @Test
  void figuresByHand() {
    Cost cost =
        CostImpact.of(
            3.6,
            "EUR",
            OptionalDouble.of(86_400),
            50,
            100,
            OptionalDouble.of(400),
            OptionalDouble.empty());

    assertThat(cost.before().perMillionTokens()).isCloseTo(10, within(1e-9));
    assertThat(cost.before().tokensPerUnit()).isCloseTo(100_000, within(1e-6));
    assertThat(cost.before().annualForBaselineWork()).isCloseTo(3.6 * 8760, within(1e-6));
    // A query a second of 50 tokens keeps half a machine of 100 tokens/s busy.
    assertThat(cost.before().machines().getAsDouble()).isCloseTo(0.5, within(1e-12));
    assertThat(cost.before().annualForQueries().getAsDouble())
        .isCloseTo(0.5 * 3.6 * 8760, within(1e-6));
    assertThat(cost.after().orElseThrow().perMillionTokens()).isCloseTo(2.5, within(1e-9));
    assertThat(cost.after().orElseThrow().annualForBaselineWork())
        .isCloseTo(3.6 * 8760 / 4, within(1e-6));
    assertThat(cost.afterBatched()).isEmpty();
  }

  @Test
  void withoutQueriesThereIsNoCostOfQueries() {
    Cost cost =
        CostImpact.of(
            1,
            "USD",
            OptionalDouble.empty(),
            50,
            100,
            OptionalDouble.empty(),
            OptionalDouble.empty());
    assertThat(cost.before().machines()).isEmpty();
    assertThat(cost.before().annualForQueries()).isEmpty();
    assertThat(cost.after()).isEmpty();
  }
}
