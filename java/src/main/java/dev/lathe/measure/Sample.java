package dev.lathe.measure;

import java.util.Arrays;

/**
 * One request as it was observed: the raw record from which every latency metric is computed.
 *
 * @param sentNanos when the request was sent, on the same clock as the tokens
 * @param tokenNanos when each output token was there, in order; empty if none came
 * @param promptTokens tokens of the prompt, beginning-of-sequence included
 */
public record Sample(long sentNanos, long[] tokenNanos, int promptTokens, Outcome outcome) {
  public Sample {
    tokenNanos = tokenNanos.clone();
    long before = sentNanos;
    for (long at : tokenNanos) {
      if (at < before) {
        throw new IllegalArgumentException("a token at %d ns after %d ns".formatted(at, before));
      }
      before = at;
    }
    if (promptTokens < 0) {
      throw new IllegalArgumentException("%d prompt tokens".formatted(promptTokens));
    }
    if (outcome == Outcome.COMPLETED && tokenNanos.length == 0) {
      throw new IllegalArgumentException("a completed request without a token");
    }
  }

  @Override
  public long[] tokenNanos() {
    return tokenNanos.clone();
  }

  public int outputTokens() {
    return tokenNanos.length;
  }

  public long firstTokenNanos() {
    return tokenNanos[0];
  }

  public long lastTokenNanos() {
    return tokenNanos[tokenNanos.length - 1];
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Sample s
        && sentNanos == s.sentNanos
        && promptTokens == s.promptTokens
        && outcome == s.outcome
        && Arrays.equals(tokenNanos, s.tokenNanos);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(tokenNanos) + Long.hashCode(sentNanos);
  }

  @Override
  public String toString() {
    return "Sample[sent %d ns, %d prompt tokens, tokens at %s ns, %s]"
        .formatted(sentNanos, promptTokens, Arrays.toString(tokenNanos), outcome);
  }
}
