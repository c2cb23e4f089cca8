package dev.lathe.optimize;

import dev.lathe.error.LatheException;
import dev.lathe.generate.Engine;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.generate.FinishReason;
import dev.lathe.generate.Generation;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.model.Decoder;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.tokenize.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Inputs at the ends of what a model takes: where a compressed model fails first. */
final class EdgeCases {
  private EdgeCases() {}

  static Check run(Decoder decoder, Tokenizer tokenizer, int[] anyPrompt) {
    int context = decoder.config().contextLength();
    int[] first = {anyPrompt[0]};
    int[] repeated = new int[context - 1];
    Arrays.fill(repeated, anyPrompt[anyPrompt.length - 1]);
    repeated[0] = anyPrompt[0];
    int[] last = {anyPrompt[0], decoder.config().vocabulary() - 1};
    List<String> failed = new ArrayList<>();
    attempt(failed, "one token of prompt", decoder, tokenizer, first, 1, FinishReason.LENGTH);
    attempt(failed, "the last token id", decoder, tokenizer, last, 2, FinishReason.LENGTH);
    attempt(
        failed,
        "one token repeated up to the context",
        decoder,
        tokenizer,
        repeated,
        2,
        FinishReason.CONTEXT_FULL);
    return new Check(
        "edge cases",
        failed.isEmpty(),
        failed.isEmpty()
            ? "shortest prompt, last token id, one token repeated up to the context: all finite"
            : String.join("; ", failed));
  }

  private static void attempt(
      List<String> failed,
      String what,
      Decoder decoder,
      Tokenizer tokenizer,
      int[] prompt,
      int tokens,
      FinishReason expected) {
    List<GenerationRequest> requests = List.of(GenerationRequest.greedy(prompt, tokens));
    try (Engine engine = Engine.sizedFor(requests, decoder, tokenizer, 1, Cache.KV)) {
      Generation generation = engine.generate(requests).getFirst();
      if (generation.finish() != expected) {
        failed.add("%s: ended with %s, not %s".formatted(what, generation.finish(), expected));
      }
    } catch (LatheException e) {
      failed.add(what + ": " + e.getMessage());
    }
  }
}
