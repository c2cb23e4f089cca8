package dev.lathe.generate;

import java.util.List;

/**
 * What came of a request.
 *
 * @param tokens the generated ones, an end-of-sequence token included
 * @param text without stop texts and special tokens
 * @param submittedNanos when the request was submitted, on the engine's clock
 * @param tokenNanos when each token was known
 * @param logprobs of each token, where they were asked for; else empty
 */
public record Generation(
    int[] tokens,
    String text,
    FinishReason finish,
    int promptTokens,
    long submittedNanos,
    long[] tokenNanos,
    List<TokenLogprobs> logprobs) {
  public Generation {
    logprobs = List.copyOf(logprobs);
  }
}
