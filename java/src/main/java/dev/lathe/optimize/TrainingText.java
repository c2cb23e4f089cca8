package dev.lathe.optimize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.EvalText;
import dev.lathe.model.ModelConfig;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.train.EmbeddedData;
import dev.lathe.train.FineTuning;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * A text to fine-tune on, as token ids. Documents are begun as the model wants them, and ended with
 * its end-of-sequence token where it has exactly one; a text without a separator is cut into
 * windows of the context.
 *
 * @param texts documents, or one text
 * @param whole true where it is one text
 * @param hash SHA-256 of it as a file, for the lineage
 */
public record TrainingText(List<String> texts, boolean whole, String hash) {

  /**
   * Reads a file.
   *
   * @param separator what stands between documents; empty for one text
   * @throws InvalidInputException if it is missing, not UTF-8 or empty
   */
  public static TrainingText read(Path file, Optional<String> separator) {
    String text = EvalText.readUtf8(file);
    List<String> texts =
        separator.isPresent()
            ? EvalText.split(text, separator.get())
            : text.isBlank() ? List.of() : List.of(text);
    if (texts.isEmpty()) {
      throw new InvalidInputException(file + ": holds no text to train on");
    }
    return new TrainingText(texts, separator.isEmpty(), Plan.sha256(file));
  }

  /** The text that the embedded default learnt from, for what comes from it; else none. */
  public static Optional<TrainingText> embedded(Checkpoint model) {
    return EmbeddedData.training(model)
        .map(training -> new TrainingText(training.documents(), false, training.hash()));
  }

  /** As the model is to see it. */
  public FineTuning.Documents documents(Tokenizer tokenizer, ModelConfig config) {
    if (whole) {
      EvalText windows =
          EvalText.cut(
              texts.getFirst(),
              tokenizer,
              config.contextLength(),
              EvalText.Options.WINDOWS,
              "the training text");
      return new FineTuning.Documents(windows.sequences(), hash);
    }
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
   * What quality is judged on must not be trained on.
   *
   * @param judged the text that quality is judged on, or its documents
   * @param where what this text is called in messages
   * @throws InvalidInputException if a document is in both, or the one text holds the other: says
   *     how many
   */
  void requireApart(List<String> judged, String where) {
    Set<String> trained = new HashSet<>(texts);
    long shared = judged.stream().filter(trained::contains).count();
    if (shared == 0 && (whole || judged.size() == 1)) {
      shared =
          judged.stream()
              .map(String::strip)
              .filter(text -> texts.stream().anyMatch(own -> own.contains(text)))
              .count();
    }
    if (shared > 0) {
      throw new InvalidInputException(
          "%s: %d of the %d texts that quality is judged on stand in it too; a model that has learnt them shows nothing. Leave them out of one of the two"
              .formatted(where, shared, judged.size()));
    }
  }
}
