package dev.lathe.generate;

import java.util.function.LongSupplier;

/**
 * How an engine runs.
 *
 * @param maxBatch sequences that run together
 * @param cache {@link Cache#NONE} is the baseline without a KV-cache
 * @param cacheTokens tokens that the KV-cache has room for
 * @param tokensPerStep the most tokens in a step: longer prompts are prefilled in chunks, so that
 *     sequences that decode do not wait for them
 * @param pageSize tokens a page of the KV-cache holds
 * @param clock nanoseconds, for the times in a {@link Generation}
 */
public record EngineOptions(
    int maxBatch,
    Cache cache,
    int cacheTokens,
    int tokensPerStep,
    int pageSize,
    LongSupplier clock) {

  /** What is kept between steps. */
  public enum Cache {
    /** Keys and values of all tokens: a step computes the new tokens only. */
    KV,
    /** Nothing: each step computes the whole prefix again, with the same kernels. */
    NONE
  }

  public EngineOptions {
    if (maxBatch < 1 || cacheTokens < 1 || tokensPerStep < 1 || pageSize < 1) {
      throw new IllegalArgumentException(
          "engine sizes must be positive: batch %d, cache %d, step %d, page %d"
              .formatted(maxBatch, cacheTokens, tokensPerStep, pageSize));
    }
  }
}
