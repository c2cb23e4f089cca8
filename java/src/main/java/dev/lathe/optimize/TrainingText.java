package dev.lathe.optimize;

import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.EvalText;
import dev.lathe.model.ModelConfig;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.train.FineTuning;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A text to fine-tune on, as token ids. Documents are begun as the model wants them, and ended with
 * its end-of-sequence token where it has exactly one; a text without a separator is cut into
 * windows of the context.
 */
public final class TrainingText {
  private TrainingText() {}

  /**
   * Reads and cuts a file.
   *
   * @param separator what stands between documents; empty for one text
   */
  public static FineTuning.Documents read(
      Path file, Optional<String> separator, Tokenizer tokenizer, ModelConfig config) {
    return read(file, Plan.sha256(file), separator, tokenizer, config);
  }

  /**
   * @param hash SHA-256 of the file, for the lineage
   */
  static FineTuning.Documents read(
      Path file, String hash, Optional<String> separator, Tokenizer tokenizer, ModelConfig config) {
    return separator.isPresent()
        ? of(EvalText.split(EvalText.readUtf8(file), separator.get()), hash, tokenizer, config)
        : new FineTuning.Documents(
            EvalText.read(file, tokenizer, config.contextLength(), EvalText.Options.WINDOWS)
                .sequences(),
            hash);
  }

  /** Documents that are in memory. */
  public static FineTuning.Documents of(
      List<String> texts, String hash, Tokenizer tokenizer, ModelConfig config) {
    OptionalInt begin = tokenizer.beginOfSequence();
    OptionalInt end =
        config.endOfSequence().size() == 1
            ? OptionalInt.of(config.endOfSequence().iterator().next())
            : OptionalInt.empty();
    return new FineTuning.Documents(
        tokenizer.encodeAll(texts).stream().map(ids -> whole(begin, ids, end)).toList(), hash);
  }

  private static int[] whole(OptionalInt begin, int[] ids, OptionalInt end) {
    int first = begin.isPresent() ? 1 : 0;
    int[] whole = new int[first + ids.length + (end.isPresent() ? 1 : 0)];
    begin.ifPresent(id -> whole[0] = id);
    System.arraycopy(ids, 0, whole, first, ids.length);
    end.ifPresent(id -> whole[whole.length - 1] = id);
    return whole;
  }

  /**
   * What quality is judged on must not have been trained on.
   *
   * @throws InvalidInputException if a document (or window) that is judged is one that is trained
   *     on: says how many
   */
  static void requireApart(FineTuning.Documents training, EvalText judged, String where) {
    Set<List<Integer>> seen = new HashSet<>();
    for (int[] sequence : judged.sequences()) {
      seen.add(list(sequence, sequence.length));
    }
    int longest = judged.sequences().stream().mapToInt(s -> s.length).max().orElse(0);
    Set<List<Integer>> found = new HashSet<>();
    for (int[] document : training.tokens()) {
      // A judged document lacks the end token, and was cut where it was too long.
      for (int length :
          Set.of(document.length, document.length - 1, Math.min(longest, document.length))) {
        List<Integer> begin = list(document, length);
        if (seen.contains(begin)) {
          found.add(begin);
        }
      }
    }
    if (!found.isEmpty()) {
      throw new InvalidInputException(
          "%s: %d of the %d documents that quality is judged on stand in the training text too; a model that has learnt them shows nothing. Leave them out of one of the two"
              .formatted(where, found.size(), judged.sequences().size()));
    }
  }

  private static List<Integer> list(int[] tokens, int length) {
    return Arrays.stream(tokens, 0, length).boxed().collect(Collectors.toUnmodifiableList());
  }
}
