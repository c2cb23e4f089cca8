package dev.lathe.tokenize;

import dev.lathe.error.InvalidInputException;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * The {@code decoder} of a tokenizer, as far as it turns one token into bytes: the kinds that
 * decoders of text models use.
 *
 * @param replacements what is replaced in a token's text, in this order
 * @param metaspace the character that is a space, but nothing in the first token; or null
 * @param byteFallback whether {@code <0xE2>} is the byte E2
 * @param byteLevel whether every character stands for a byte, in GPT-2's alphabet
 * @param stripLeft leading spaces that the whole text loses
 */
record PieceDecoder(
    List<Replacement> replacements,
    Character metaspace,
    boolean byteFallback,
    boolean byteLevel,
    int stripLeft) {

  record Replacement(String from, String to) {}

  private static final Map<Character, Byte> BYTE_OF_CHARACTER = byteAlphabet();

  static PieceDecoder parse(JsonNode node, String where) {
    List<JsonNode> steps = new ArrayList<>();
    flatten(node, steps);
    List<Replacement> replacements = new ArrayList<>();
    Character metaspace = null;
    boolean byteFallback = false;
    boolean byteLevel = false;
    boolean fused = false;
    int stripLeft = 0;
    for (JsonNode step : steps) {
      String type = step.path("type").asString("");
      switch (type) {
        case "Replace" -> {
          JsonNode from = step.path("pattern").path("String");
          if (!from.isString() || !step.path("content").isString() || fused) {
            throw unsupported(where, step);
          }
          replacements.add(new Replacement(from.stringValue(), step.get("content").stringValue()));
        }
        case "Metaspace" -> {
          String space = step.path("replacement").asString("\u2581");
          boolean never = step.path("prepend_scheme").asString("always").equals("never");
          if (space.length() != 1) {
            throw unsupported(where, step);
          }
          if (never || !step.path("add_prefix_space").asBoolean(true)) {
            replacements.add(new Replacement(space, " "));
          } else {
            metaspace = space.charAt(0);
          }
        }
        case "ByteFallback" -> byteFallback = true;
        case "ByteLevel" -> byteLevel = true;
        case "Fuse" -> fused = true;
        case "Strip" -> {
          boolean leadingSpaces =
              step.path("content").asString("").equals(" ") && step.path("stop").asInt(0) == 0;
          if (!leadingSpaces || !fused) {
            throw unsupported(where, step);
          }
          stripLeft = step.path("start").asInt(0);
        }
        default -> throw unsupported(where, step);
      }
    }
    return new PieceDecoder(replacements, metaspace, byteFallback, byteLevel, stripLeft);
  }

  private static void flatten(JsonNode node, List<JsonNode> steps) {
    if (node.path("type").asString("").equals("Sequence")) {
      node.path("decoders").forEach(inner -> flatten(inner, steps));
    } else if (!node.isMissingNode() && !node.isNull()) {
      steps.add(node);
    }
  }

  private static InvalidInputException unsupported(String where, JsonNode step) {
    return new InvalidInputException(
        "%s: %s is not supported; Lathe decodes ByteLevel, Metaspace, ByteFallback, Fuse, Replace of"
                .formatted(where, step)
            + " a string, and Strip of leading spaces after Fuse");
  }

  /**
   * What a token stands for.
   *
   * @param first whether it is the first of the text
   */
  byte[] bytes(String token, boolean first) {
    if (byteFallback) {
      int value = fallbackByte(token);
      if (value >= 0) {
        return new byte[] {(byte) value};
      }
    }
    String text = token;
    for (Replacement replacement : replacements) {
      text = text.replace(replacement.from(), replacement.to());
    }
    if (metaspace != null) {
      text = text.replace(String.valueOf(metaspace), first ? "" : " ");
    }
    return byteLevel ? byteLevelBytes(text) : TokenPieces.utf8(text);
  }

  /** The byte of {@code <0xE2>}, or -1. */
  private static int fallbackByte(String token) {
    if (token.length() != 6 || !token.startsWith("<0x") || !token.endsWith(">")) {
      return -1;
    }
    int high = Character.digit(token.charAt(3), 16);
    int low = Character.digit(token.charAt(4), 16);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
  }

  /** A token with a character outside the alphabet (an added token) stands for its own text. */
  private static byte[] byteLevelBytes(String text) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(text.length());
    for (int i = 0; i < text.length(); i++) {
      Byte value = BYTE_OF_CHARACTER.get(text.charAt(i));
      if (value == null) {
        return TokenPieces.utf8(text);
      }
      bytes.write(value);
    }
    return bytes.toByteArray();
  }

  /**
   * GPT-2's alphabet: printable Latin-1 characters stand for themselves, the other bytes, in their
   * order, for the characters from U+0100 on.
   *
   * @see <a href="https://github.com/openai/gpt-2/blob/master/src/encoder.py">bytes_to_unicode</a>
   */
  private static Map<Character, Byte> byteAlphabet() {
    Map<Character, Byte> alphabet = new HashMap<>();
    char next = 0x100;
    for (int value = 0; value < 256; value++) {
      boolean printable =
          (value >= '!' && value <= '~')
              || (value >= 0xa1 && value <= 0xac)
              || (value >= 0xae && value <= 0xff);
      alphabet.put(printable ? (char) value : next++, (byte) value);
    }
    return Map.copyOf(alphabet);
  }
}
