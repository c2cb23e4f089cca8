package dev.lathe.tokenize;

import dev.lathe.error.InvalidInputException;
import tools.jackson.databind.JsonNode;

/**
 * What the native library does not check: a template for one text that asks for a second one ends
 * the whole process when the first text is encoded.
 */
final class PostProcessors {
  private PostProcessors() {}

  /**
   * @param processor {@code post_processor} of a {@code tokenizer.json}, or one of its parts
   * @throws InvalidInputException if a template cannot be filled in
   */
  static void check(JsonNode processor, String where) {
    for (JsonNode part : processor.path("processors")) {
      check(part, where);
    }
    JsonNode single = processor.path("single");
    boolean second = single.isString() && single.stringValue().contains("$B");
    for (JsonNode piece : single) {
      second |= piece.path("Sequence").path("id").asString("").equals("B");
      second |= piece.isString() && piece.stringValue().startsWith("$B");
    }
    if (second) {
      throw new InvalidInputException(
          where
              + ": post_processor: the template 'single' is for one text, A, and asks for B; only"
              + " 'pair' has both");
    }
  }
}
