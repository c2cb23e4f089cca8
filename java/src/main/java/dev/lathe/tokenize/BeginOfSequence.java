package dev.lathe.tokenize;

import dev.lathe.error.InvalidInputException;
import java.util.OptionalInt;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Which token begins a sequence. The first that says so decides: {@code add_bos_token} in {@code
 * tokenizer_config.json} (false: none), the template of the post-processor, {@code bos_token}
 * (null: none), {@code bos_token_id} in {@code config.json}.
 */
final class BeginOfSequence {
  private BeginOfSequence() {}

  /**
   * @param tokenizerConfig {@code tokenizer_config.json}, empty where there is none
   * @param config {@code config.json}
   */
  static OptionalInt find(
      TokenPieces pieces,
      ObjectNode tokenizer,
      ObjectNode tokenizerConfig,
      ObjectNode config,
      String where) {
    JsonNode add = tokenizerConfig.path("add_bos_token");
    JsonNode token = tokenizerConfig.path("bos_token");
    if (add.isBoolean() && !add.booleanValue()) {
      return OptionalInt.empty();
    }
    if (add.isBoolean() && !token.isMissingNode() && !token.isNull()) {
      return OptionalInt.of(byText(token, pieces, where));
    }
    OptionalInt template = fromTemplate(tokenizer.path("post_processor"));
    if (template.isPresent()) {
      return template;
    }
    if (token.isNull()) {
      return OptionalInt.empty();
    }
    if (!token.isMissingNode()) {
      return OptionalInt.of(byText(token, pieces, where));
    }
    JsonNode id = config.path("bos_token_id");
    return id.isInt() ? OptionalInt.of(id.intValue()) : OptionalInt.empty();
  }

  /** The token is a string, or an object that has it as its content. */
  private static int byText(JsonNode token, TokenPieces pieces, String where) {
    JsonNode text = token.isObject() ? token.path("content") : token;
    Integer id = text.isString() ? pieces.idOf(text.stringValue()) : null;
    if (id == null) {
      throw new InvalidInputException(
          "%s: tokenizer_config.json names bos_token %s, which is not in the vocabulary"
              .formatted(where, token));
    }
    return id;
  }

  /** The special token that a template puts before a text; templates may be one of a sequence. */
  private static OptionalInt fromTemplate(JsonNode processor) {
    for (JsonNode inner : processor.path("processors")) {
      OptionalInt found = fromTemplate(inner);
      if (found.isPresent()) {
        return found;
      }
    }
    JsonNode name = processor.path("single").path(0).path("SpecialToken").path("id");
    JsonNode id = processor.path("special_tokens").path(name.asString("")).path("ids").path(0);
    return id.isInt() ? OptionalInt.of(id.intValue()) : OptionalInt.empty();
  }
}
