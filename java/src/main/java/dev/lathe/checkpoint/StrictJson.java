package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.TokenStreamLocation;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** JSON files that came with a model: a key given twice or text after the end is an error. */
public final class StrictJson {
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private StrictJson() {}

  /** The strict mapper, for writing and for typed reading. */
  public static JsonMapper mapper() {
    return MAPPER;
  }

  /**
   * The object that a file holds.
   *
   * @throws InvalidInputException if the file is missing, no JSON (with line and column), has a key
   *     twice, or holds something other than an object
   */
  public static ObjectNode readObject(Path file) {
    byte[] bytes;
    try {
      bytes = Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      throw new InvalidInputException(file + " is missing", e);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + e.getMessage(), e);
    }
    return parseObject(bytes, file.toString());
  }

  /**
   * The object in {@code bytes}, UTF-8.
   *
   * @param where what the message names as the place: a file
   * @throws InvalidInputException as {@link #readObject}
   */
  public static ObjectNode parseObject(byte[] bytes, String where) {
    if (new String(bytes, 0, Math.min(bytes.length, 64), StandardCharsets.UTF_8).isBlank()
        && new String(bytes, StandardCharsets.UTF_8).isBlank()) {
      throw new InvalidInputException(where + " is empty; it must hold a JSON object");
    }
    JsonNode node;
    try {
      node = MAPPER.readTree(bytes);
    } catch (JacksonException e) {
      throw new InvalidInputException(where + ": no valid JSON: " + describe(e), e);
    }
    if (!(node instanceof ObjectNode object)) {
      throw new InvalidInputException(
          "%s must hold a JSON object, {...}; it holds %s"
              .formatted(where, node.getNodeType().toString().toLowerCase(java.util.Locale.ROOT)));
    }
    return object;
  }

  /** What Jackson found, on one line, with the place in the text. */
  static String describe(JacksonException e) {
    String message =
        e.getOriginalMessage()
            .lines()
            .findFirst()
            .orElse("")
            .replaceAll(" ?\\(start marker at .*", "")
            .strip();
    TokenStreamLocation at = e.getLocation();
    return at == null || at.getLineNr() < 0
        ? message
        : "line %d, column %d: %s".formatted(at.getLineNr(), at.getColumnNr(), message);
  }
}
