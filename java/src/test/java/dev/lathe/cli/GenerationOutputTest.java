package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.generate.FinishReason;
import dev.lathe.generate.Generation;
import dev.lathe.generate.TokenLogprobs;
import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ObjectNode;

/** The figures of generate, on timelines written by hand. */
class GenerationOutputTest {
  private static final Generation FOUR =
      new Generation(
          new int[] {7, 8, 9, 10},
          " abc",
          FinishReason.LENGTH,
          3,
          1_000_000,
          new long[] {11_000_000, 13_000_000, 15_000_000, 17_000_000},
          List.of());
  private static final Generation ONE =
      new Generation(
          new int[] {2},
          "",
          FinishReason.END_OF_SEQUENCE,
          1,
          1_000_000,
          new long[] {21_000_000},
          List.of(new TokenLogprobs(-0.5, List.of(new TokenLogprobs.Entry(2, -0.5)))));

  @Test
  void oneSequence() {
    ObjectNode json = new GenerationOutput(List.of(FOUR), "cpu", "asked for").json();
    assertThat(json.get("text").stringValue()).isEqualTo(" abc");
    assertThat(json.get("tokens").toString()).isEqualTo("[7,8,9,10]");
    assertThat(json.get("prompt_tokens").intValue()).isEqualTo(3);
    assertThat(json.get("finish").stringValue()).isEqualTo("length");
    assertThat(json.has("logprobs")).isFalse();
    assertThat(json.get("ttft_ms").doubleValue()).isEqualTo(10);
    assertThat(json.get("tpot_ms").doubleValue()).isEqualTo(2);
    assertThat(json.get("tokens_per_second").doubleValue()).isCloseTo(250, within(1e-9));
    assertThat(json.get("backend").stringValue()).isEqualTo("cpu");
    assertThat(json.has("generations")).isFalse();
  }

  @Test
  void aSingleTokenHasNoTimePerToken() {
    ObjectNode json = new GenerationOutput(List.of(ONE), "cpu", "asked for").json();
    assertThat(json.get("tpot_ms").isNull()).isTrue();
    assertThat(json.get("tokens_per_second").doubleValue()).isCloseTo(50, within(1e-9));
  }

  @Test
  void severalSequencesAddUpOverTheWholeTime() {
    ObjectNode json = new GenerationOutput(List.of(FOUR, ONE), "cpu", "asked for").json();
    assertThat(json.get("generated_tokens").intValue()).isEqualTo(5);
    assertThat(json.get("tokens_per_second").doubleValue()).isCloseTo(250, within(1e-9));
    assertThat(json.get("ttft_ms").doubleValue()).isEqualTo(15);
    assertThat(json.get("tpot_ms").doubleValue()).isEqualTo(2);
    assertThat(json.get("generations").size()).isEqualTo(2);
    assertThat(json.get("generations").get(1).get("finish").stringValue())
        .isEqualTo("end_of_sequence");
  }

  @Test
  void logprobsStandWhereTheyWereAskedFor() {
    ObjectNode json = new GenerationOutput(List.of(ONE), "cpu", "asked for").json();
    assertThat(json.get("logprobs").toString())
        .isEqualTo("[{\"logprob\":-0.5,\"top\":[{\"token\":2,\"logprob\":-0.5}]}]");
  }
}
