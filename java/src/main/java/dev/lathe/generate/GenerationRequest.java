package dev.lathe.generate;

import dev.lathe.error.InvalidInputException;
import java.util.List;

/**
 * A text to go on with.
 *
 * @param prompt token ids, beginning-of-sequence included; not empty
 * @param maxTokens the most tokens to generate, at least 1
 * @param stop texts that end the generation where they appear; they are not part of the result
 * @param ignoreEos generate on past the model's end-of-sequence token
 * @param logprobs report each token's log probability and this many of the likeliest tokens'; -1
 *     for none
 */
public record GenerationRequest(
    int[] prompt,
    int maxTokens,
    Sampling sampling,
    List<String> stop,
    boolean ignoreEos,
    int logprobs) {
  public GenerationRequest {
    if (prompt.length == 0) {
      throw new InvalidInputException(
          "the prompt is empty and the tokenizer has no beginning-of-sequence token to start from:"
              + " give a prompt");
    }
    if (maxTokens < 1) {
      throw new InvalidInputException(
          "the number of tokens to generate is %d; it must be at least 1".formatted(maxTokens));
    }
    if (logprobs < -1) {
      throw new InvalidInputException(
          "%d log probabilities were asked for; it must be 0 or more, or -1 for none"
              .formatted(logprobs));
    }
    for (String text : stop) {
      if (text.isEmpty()) {
        throw new InvalidInputException("a stop text is empty; it would end every generation");
      }
    }
    prompt = prompt.clone();
    stop = List.copyOf(stop);
  }

  /** Without log probabilities. */
  public GenerationRequest(
      int[] prompt, int maxTokens, Sampling sampling, List<String> stop, boolean ignoreEos) {
    this(prompt, maxTokens, sampling, stop, ignoreEos, -1);
  }

  public static GenerationRequest greedy(int[] prompt, int maxTokens) {
    return new GenerationRequest(prompt, maxTokens, Sampling.GREEDY, List.of(), true);
  }
}
