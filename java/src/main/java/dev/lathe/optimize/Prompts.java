package dev.lathe.optimize;

import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.EvalText;
import dev.lathe.tokenize.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What speed is measured on: beginnings of the evaluated documents, so that sequences of a batch
 * differ and look like what the model is used for.
 *
 * @param all one or more, each begun with beginning-of-sequence where the model has one
 * @param tokens to generate after each
 */
record Prompts(List<int[]> all, int tokens) {
  private static final int LENGTH = 8;

  /**
   * Prompts of a recipe.
   *
   * @param contextLength prompts and what is generated fit into it: fewer tokens are generated
   *     where they would not, and the sink is told
   */
  static Prompts of(
      Recipe.Speed speed,
      EvalText text,
      Tokenizer tokenizer,
      int contextLength,
      ProgressSink sink) {
    List<int[]> prompts = new ArrayList<>();
    int length = LENGTH;
    if (speed.prompt().isPresent()) {
      int[] own = begun(tokenizer, tokenizer.encode(speed.prompt().get()));
      prompts.add(own);
      length = own.length;
    }
    length = Math.min(length, Math.max(1, contextLength / 2));
    for (int[] sequence : text.sequences()) {
      prompts.add(Arrays.copyOf(sequence, Math.min(length, sequence.length - 1)));
    }
    int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().orElseThrow();
    int tokens = Math.min(speed.tokens(), contextLength - longest);
    if (tokens < 2) {
      throw new InvalidInputException(
          "the prompt has %d tokens and the model's context is %d: there is no room to generate"
              .formatted(longest, contextLength));
    }
    if (tokens < speed.tokens()) {
      sink.note(
          "%d tokens are generated, not %d: the model's context is %d"
              .formatted(tokens, speed.tokens(), contextLength));
    }
    return new Prompts(List.copyOf(prompts), tokens);
  }

  private static int[] begun(Tokenizer tokenizer, int[] ids) {
    return tokenizer.beginOfSequence().isEmpty()
        ? ids
        : IntStream.concat(IntStream.of(tokenizer.beginOfSequence().getAsInt()), Arrays.stream(ids))
            .toArray();
  }

  int[] first() {
    return all.getFirst();
  }

  /** So many, from the first on; they repeat where there are fewer. */
  List<int[]> take(int count) {
    return IntStream.range(0, count).mapToObj(i -> all.get(i % all.size())).toList();
  }
}
