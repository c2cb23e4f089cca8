package dev.lathe.tokenize;

import dev.lathe.error.InvalidInputException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The bytes that each token stands for, from the vocabulary and the decoder of {@code
 * tokenizer.json}. With bytes instead of text, decoding a sequence is putting bytes one after
 * another, so that decoding it piece by piece gives the same.
 */
final class TokenPieces {
  /** Far beyond any vocabulary; keeps one wrong id from taking more than some megabytes. */
  private static final int MAX_TOKEN_ID = 1 << 21;

  private final byte[][] bytes;
  private final byte[][] firstBytes;
  private final Map<String, Integer> idOf;
  private final PieceDecoder decoder;

  private TokenPieces(
      byte[][] bytes, byte[][] firstBytes, Map<String, Integer> idOf, PieceDecoder decoder) {
    this.bytes = bytes;
    this.firstBytes = firstBytes;
    this.idOf = idOf;
    this.decoder = decoder;
  }

  /**
   * @param tokenizer the content of {@code tokenizer.json}
   * @param where the file, for messages
   * @throws InvalidInputException if there is no vocabulary, or the decoder is of an unknown kind
   */
  static TokenPieces parse(ObjectNode tokenizer, String where) {
    Map<String, Integer> idOf = vocabulary(tokenizer, where);
    TreeMap<Integer, String> textOf = new TreeMap<>();
    idOf.forEach((text, id) -> textOf.put(id, text));
    Map<Integer, Boolean> special = new HashMap<>();
    for (JsonNode added : tokenizer.path("added_tokens")) {
      if (!added.path("content").isString()) {
        throw new InvalidInputException(where + ": an entry of added_tokens has no content");
      }
      String text = added.get("content").stringValue();
      int id = id(added.path("id"), where + ": added token \"" + text + "\"");
      textOf.put(id, text);
      idOf.put(text, id);
      special.put(id, added.path("special").asBoolean(false));
    }
    if (textOf.isEmpty()) {
      throw new InvalidInputException(where + ": the vocabulary is empty");
    }
    PieceDecoder decoder = PieceDecoder.parse(tokenizer.path("decoder"), where + ": decoder");
    byte[][] bytes = new byte[textOf.lastKey() + 1][];
    byte[][] firstBytes = new byte[bytes.length][];
    textOf.forEach((id, text) -> {
      if (!special.getOrDefault(id, false)) {
        bytes[id] = decoder.bytes(text, false);
        byte[] first = decoder.bytes(text, true);
        firstBytes[id] = java.util.Arrays.equals(first, bytes[id]) ? bytes[id] : first;
      }
    });
    return new TokenPieces(bytes, firstBytes, idOf, decoder);
  }

  private static Map<String, Integer> vocabulary(ObjectNode tokenizer, String where) {
    JsonNode vocabulary = tokenizer.path("model").path("vocab");
    Map<String, Integer> idOf = new HashMap<>();
    if (vocabulary.isObject()) {
      for (Map.Entry<String, JsonNode> entry : vocabulary.properties()) {
        String place = "%s: model.vocab[\"%s\"]".formatted(where, entry.getKey());
        idOf.put(entry.getKey(), id(entry.getValue(), place));
      }
    } else if (vocabulary.isArray()) {
      for (JsonNode entry : vocabulary) {
        if (!entry.path(0).isString()) {
          throw new InvalidInputException(
              "%s: model.vocab[%d] must be [text, score]".formatted(where, idOf.size()));
        }
        idOf.put(entry.get(0).stringValue(), idOf.size());
      }
    } else {
      throw new InvalidInputException(
          where + ": model.vocab is missing; it must list the tokens with their ids");
    }
    return idOf;
  }

  private static int id(JsonNode node, String place) {
    if (!node.isInt() || node.intValue() < 0 || node.intValue() >= MAX_TOKEN_ID) {
      throw new InvalidInputException(
          "%s: the id must be an integer from 0 to %d".formatted(place, MAX_TOKEN_ID - 1));
    }
    return node.intValue();
  }

  /** One more than the largest id. */
  int size() {
    return bytes.length;
  }

  /** The id of a token by its text in the vocabulary. */
  Integer idOf(String text) {
    return idOf.get(text);
  }

  /**
   * The bytes of a token; null for a special token and for ids that the vocabulary leaves out
   * (models pad their vocabularies), which give no text.
   *
   * @param first whether it is the first of the text
   */
  byte[] bytes(int id, boolean first) {
    if (id < 0) {
      throw new IllegalArgumentException("token id " + id + " is negative");
    }
    return id >= bytes.length ? null : first ? firstBytes[id] : bytes[id];
  }

  /** How many leading spaces a text loses. */
  int leadingSpacesToStrip() {
    return decoder.stripLeft();
  }

  /** UTF-8 of a text. */
  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
