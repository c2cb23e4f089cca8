package dev.lathe.cli;

import java.io.PrintStream;
import java.util.OptionalDouble;
import tools.jackson.databind.ObjectWriter;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** The one object that {@code --json} prints. */
final class Json {
  private static final JsonMapper MAPPER = JsonMapper.shared();
  private static final ObjectWriter PRETTY = MAPPER.writerWithDefaultPrettyPrinter();

  private Json() {}

  static ObjectNode object() {
    return MAPPER.createObjectNode();
  }

  static void print(ObjectNode result, PrintStream out) {
    out.println(PRETTY.writeValueAsString(result));
  }

  /**
   * Null, and so JSON's {@code null}, for what was not or could not be measured: JSON has no NaN.
   */
  static Double orNull(double value) {
    return Double.isFinite(value) ? (Double) value : null;
  }

  /** A figure, or {@code null} where there is none. */
  static void put(ObjectNode node, String key, OptionalDouble value) {
    node.put(key, value.isPresent() ? orNull(value.getAsDouble()) : null);
  }
}
