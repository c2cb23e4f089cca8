package dev.lathe.measure;

import dev.lathe.error.InvalidInputException;
import java.nio.charset.StandardCharsets;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.PropertyNamingStrategies;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/** JSON of a run's files: keys in snake_case, unknown and doubled keys are errors. */
public final class RunJson {
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .disable(SerializationFeature.FAIL_ON_EMPTY_BEANS)
          .build();

  private RunJson() {}

  /** For building trees; reading goes through {@link #read}, which names the place of an error. */
  public static JsonMapper mapper() {
    return MAPPER;
  }

  /** A value on one line. */
  public static String line(Object value) {
    return MAPPER.writeValueAsString(value);
  }

  /** A value as a file that people read: indented, ends in a newline. */
  public static byte[] file(Object value) {
    String text = MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(value);
    return (text + "\n").getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Reads a value.
   *
   * @param where file, and line if there are several values in it
   * @throws InvalidInputException if it is no JSON, or not of that shape
   */
  public static <T> T read(String json, Class<T> type, String where) {
    try {
      return MAPPER.readValue(json, type);
    } catch (JacksonException e) {
      throw new InvalidInputException(
          "%s: not what Lathe writes there: %s".formatted(where, e.getOriginalMessage()), e);
    }
  }
}
