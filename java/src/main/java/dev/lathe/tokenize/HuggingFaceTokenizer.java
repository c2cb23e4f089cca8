package dev.lathe.tokenize;

import dev.lathe.checkpoint.StrictJson;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import tools.jackson.databind.node.ObjectNode;

/**
 * The tokenizer of a {@code tokenizer.json}: encoding by Hugging Face's own library, decoding by
 * the bytes of each token, so that text can be streamed.
 *
 * <p>For valid UTF-8 decoding gives what that library gives. Byte tokens that are no UTF-8 become
 * one U+FFFD for each longest beginning of a character, as in {@code String(bytes, UTF_8)}; the
 * library drops whole runs of byte tokens for one wrong byte, which cannot be known while the run
 * goes on.
 */
public final class HuggingFaceTokenizer implements Tokenizer {
  /** So many texts are encoded in one native call, on all processors. */
  private static final int BATCH = 256;

  private static final Pattern LONE_SURROGATE =
      Pattern.compile(
          "[\\x{D800}-\\x{DBFF}](?![\\x{DC00}-\\x{DFFF}])|(?<![\\x{D800}-\\x{DBFF}])[\\x{DC00}-\\x{DFFF}]");

  private final NativeTokenizer encoder;
  private final TokenPieces pieces;
  private final OptionalInt beginOfSequence;
  private final String where;

  private HuggingFaceTokenizer(
      NativeTokenizer encoder, TokenPieces pieces, OptionalInt beginOfSequence, String where) {
    this.where = where;
    this.encoder = encoder;
    this.pieces = pieces;
    this.beginOfSequence = beginOfSequence;
  }

  /**
   * @param tokenizerJson {@code tokenizer.json}
   * @param tokenizerConfig {@code tokenizer_config.json}, where there is one
   * @param config the model's configuration, for {@code bos_token_id}
   * @throws InvalidInputException if a file is broken; names the file and the place
   * @throws LatheException if the native library cannot be loaded
   */
  public static HuggingFaceTokenizer load(
      Path tokenizerJson, Optional<Path> tokenizerConfig, ObjectNode config) {
    byte[] bytes;
    try {
      bytes = Files.readAllBytes(tokenizerJson);
    } catch (IOException e) {
      throw new InvalidInputException(tokenizerJson + " cannot be read: " + e.getMessage(), e);
    }
    return load(
        bytes, tokenizerConfig.map(StrictJson::readObject), config, tokenizerJson.toString());
  }

  /**
   * As {@link #load(Path, Optional, ObjectNode)}, of a tokenizer that lies in no file of its own.
   *
   * @param where what messages call it
   */
  static HuggingFaceTokenizer load(
      byte[] bytes, Optional<ObjectNode> tokenizerConfig, ObjectNode config, String where) {
    ObjectNode tokenizer = StrictJson.parseObject(bytes, where);
    PostProcessors.check(tokenizer.path("post_processor"), where);
    TokenPieces pieces = TokenPieces.parse(tokenizer, where);
    ObjectNode companion = tokenizerConfig.orElseGet(() -> StrictJson.mapper().createObjectNode());
    OptionalInt begin = BeginOfSequence.find(pieces, tokenizer, companion, config, where);
    try {
      return new HuggingFaceTokenizer(new NativeTokenizer(bytes), pieces, begin, where);
    } catch (LatheException e) {
      throw e;
    } catch (RuntimeException e) {
      throw new InvalidInputException(
          "%s is no tokenizer that can be used: %s".formatted(where, e.getMessage()), e);
    }
  }

  @Override
  public int[] encode(String text) {
    return named(() -> encoder.encode(wellFormed(text)));
  }

  @Override
  public List<int[]> encodeAll(List<String> texts) {
    List<int[]> all = new ArrayList<>(texts.size());
    for (int from = 0; from < texts.size(); from += BATCH) {
      String[] batch =
          texts.subList(from, Math.min(from + BATCH, texts.size())).stream()
              .map(HuggingFaceTokenizer::wellFormed)
              .toArray(String[]::new);
      all.addAll(named(() -> encoder.encodeAll(batch)));
    }
    return all;
  }

  /**
   * Some things that a tokenizer needs, the library misses only when it comes to them: the token
   * for unknown text, for one.
   */
  private <T> T named(Supplier<T> encoding) {
    try {
      return encoding.get();
    } catch (IllegalStateException e) {
      throw e; // closed
    } catch (RuntimeException e) {
      throw new InvalidInputException(
          "%s cannot encode this text: %s".formatted(where, e.getMessage()), e);
    }
  }

  /** Half a surrogate pair is no text; it becomes U+FFFD, as in any conversion to UTF-8. */
  private static String wellFormed(String text) {
    return LONE_SURROGATE.matcher(text).replaceAll("\uFFFD");
  }

  @Override
  public String decode(int[] ids) {
    return text(new PieceStream(pieces), ids);
  }

  private static String text(TokenStream stream, int[] ids) {
    StringBuilder text = new StringBuilder();
    for (int id : ids) {
      text.append(stream.next(id));
    }
    return text.append(stream.finish()).toString();
  }

  /**
   * {@inheritDoc}
   *
   * <p>Where the context has a token that gives text, the first piece keeps its leading space.
   */
  @Override
  public TokenStream stream(int[] context) {
    PieceStream stream = new PieceStream(pieces);
    for (int id : context) {
      stream.next(id);
    }
    return stream;
  }

  @Override
  public int vocabularySize() {
    return pieces.size();
  }

  @Override
  public OptionalInt beginOfSequence() {
    return beginOfSequence;
  }

  @Override
  public void close() {
    encoder.close();
  }
}
