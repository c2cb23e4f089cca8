package dev.lathe.measure;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.IoReason;
import dev.lathe.error.LatheException;
import dev.lathe.tokenize.Tokenizer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A text cut into the token sequences that a model is scored on. With a separator: documents,
 * stripped, empty ones dropped, each begun with beginning-of-sequence and cut to the context.
 * Without: windows of the context, each begun with beginning-of-sequence, none overlapping.
 *
 * @param sequences token ids; each of at least two, so that there is something to predict
 * @param cut sequences that were longer than the context and lost their end
 * @param documents true where the sequences are documents, so independent of one another
 */
public record EvalText(List<int[]> sequences, int cut, boolean documents) {
  public EvalText {
    sequences = List.copyOf(sequences);
  }

  /**
   * How to cut a text.
   *
   * @param separator between documents; empty for windows
   * @param maxDocuments documents (or windows) taken from the start; empty for all
   */
  public record Options(Optional<String> separator, OptionalInt maxDocuments) {
    public static final Options WINDOWS = new Options(Optional.empty(), OptionalInt.empty());

    public Options {
      if (separator.isPresent() && separator.get().isEmpty()) {
        throw new InvalidInputException("the separator between documents is empty; leave it out");
      }
      if (maxDocuments.isPresent() && maxDocuments.getAsInt() < 1) {
        throw new InvalidInputException(
            "the most documents to score are %d; it must be at least 1"
                .formatted(maxDocuments.getAsInt()));
      }
    }
  }

  /** Tokens that are predicted: all but the first of each sequence. */
  public long predictedTokens() {
    return sequences.stream().mapToLong(s -> s.length - 1L).sum();
  }

  /**
   * Reads and cuts a file.
   *
   * @param contextLength of the model; with a base model, the smaller of the two
   * @throws InvalidInputException if the file is missing, is not UTF-8, or has nothing to predict
   */
  public static EvalText read(Path file, Tokenizer tokenizer, int contextLength, Options options) {
    return cut(readUtf8(file), tokenizer, contextLength, options, file.toString());
  }

  /**
   * Cuts a text.
   *
   * @param where what to call the text in messages
   */
  public static EvalText cut(
      String text, Tokenizer tokenizer, int contextLength, Options options, String where) {
    EvalText cut =
        options.separator().isPresent()
            ? documents(text, tokenizer, contextLength, options)
            : windows(tokenizer.encode(text), tokenizer, contextLength, options);
    if (cut.sequences().isEmpty()) {
      throw new InvalidInputException(
          "%s: holds no text to predict a token of: it must have at least one token%s"
              .formatted(
                  where,
                  options
                      .separator()
                      .map(s -> " outside the separators \"" + s + "\"")
                      .orElse("")));
    }
    return cut;
  }

  private static EvalText documents(
      String text, Tokenizer tokenizer, int contextLength, Options options) {
    int most = options.maxDocuments().orElse(Integer.MAX_VALUE);
    List<String> texts = split(text, options.separator().orElseThrow(), most);
    OptionalInt begin = tokenizer.beginOfSequence();
    List<int[]> sequences = new ArrayList<>();
    int cut = 0;
    for (int[] ids : tokenizer.encodeAll(texts)) {
      int[] sequence = sequence(ids, 0, begin, contextLength);
      cut += sequence.length < ids.length + (begin.isPresent() ? 1 : 0) ? 1 : 0;
      if (sequence.length > 1) {
        sequences.add(sequence);
      }
    }
    return new EvalText(sequences, cut, true);
  }

  /** The documents of a text: what stands between separators, stripped, empty ones dropped. */
  public static List<String> split(String text, String separator) {
    return split(text, separator, Integer.MAX_VALUE);
  }

  private static List<String> split(String text, String separator, int most) {
    List<String> texts = new ArrayList<>();
    for (int from = 0; from <= text.length() && texts.size() < most; ) {
      int at = text.indexOf(separator, from);
      int to = at < 0 ? text.length() : at;
      String document = text.substring(from, to).strip();
      if (!document.isEmpty()) {
        texts.add(document);
      }
      from = to + separator.length();
    }
    return texts;
  }

  private static EvalText windows(
      int[] ids, Tokenizer tokenizer, int contextLength, Options options) {
    OptionalInt begin = tokenizer.beginOfSequence();
    int step = contextLength - (begin.isPresent() ? 1 : 0);
    int most = options.maxDocuments().orElse(Integer.MAX_VALUE);
    List<int[]> sequences = new ArrayList<>();
    for (int from = 0; from < ids.length && sequences.size() < most; from += step) {
      int[] sequence = sequence(ids, from, begin, contextLength);
      if (sequence.length > 1) {
        sequences.add(sequence);
      }
    }
    return new EvalText(sequences, 0, false);
  }

  /** Beginning-of-sequence, where there is one, and ids from {@code from} on as far as they fit. */
  private static int[] sequence(int[] ids, int from, OptionalInt begin, int contextLength) {
    int first = begin.isPresent() ? 1 : 0;
    int count = Math.min(ids.length - from, contextLength - first);
    int[] sequence = new int[first + count];
    begin.ifPresent(id -> Arrays.fill(sequence, 0, 1, id));
    System.arraycopy(ids, from, sequence, first, count);
    return sequence;
  }

  /**
   * A file's text.
   *
   * @throws InvalidInputException if it is missing or not UTF-8
   */
  public static String readUtf8(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new InvalidInputException("%s: is not a file; give a UTF-8 text".formatted(file));
    }
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .onMalformedInput(CodingErrorAction.REPORT)
          .onUnmappableCharacter(CodingErrorAction.REPORT)
          .decode(ByteBuffer.wrap(Files.readAllBytes(file)))
          .toString();
    } catch (CharacterCodingException e) {
      throw new InvalidInputException("%s: is not UTF-8 text".formatted(file), e);
    } catch (IOException e) {
      throw new LatheException(
          LatheException.FAILED, "%s: cannot be read: %s".formatted(file, IoReason.of(e)), e);
    }
  }
}
