package dev.lathe.tokenize.jinja;

import dev.lathe.checkpoint.StrictJson;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/** Templates with what Jinja2 itself made of them. */
public final class RenderedByJinja2 {
  /** What {@code strftime_now} told when they were made. */
  public static final LocalDateTime NOW = LocalDateTime.of(2026, 11, 20, 16, 30, 5);

  private RenderedByJinja2() {}

  public static JsonNode read(String resource) {
    return StrictJson.parseObject(text(resource).getBytes(StandardCharsets.UTF_8), resource);
  }

  /**
   * @param resource below {@code dev/lathe/tokenize}
   */
  public static String text(String resource) {
    try (InputStream in =
        RenderedByJinja2.class.getResourceAsStream("/dev/lathe/tokenize/" + resource)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A JSON object as the values of a template. */
  public static Map<String, Object> values(JsonNode object) {
    Map<String, Object> values = new LinkedHashMap<>();
    object.properties().forEach(entry -> values.put(entry.getKey(), value(entry.getValue())));
    return values;
  }

  private static Object value(JsonNode node) {
    return switch (node.getNodeType()) {
      case NULL -> null;
      case BOOLEAN -> node.booleanValue();
      case NUMBER ->
          node.isIntegralNumber() ? (Object) node.longValue() : (Object) node.doubleValue();
      case ARRAY -> {
        List<Object> items = new ArrayList<>();
        node.forEach(item -> items.add(value(item)));
        yield items;
      }
      case OBJECT -> values(node);
      default -> node.stringValue();
    };
  }
}
