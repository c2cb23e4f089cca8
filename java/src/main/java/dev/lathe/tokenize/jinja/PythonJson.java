package dev.lathe.tokenize.jinja;

import java.util.List;
import java.util.Map;

/**
 * {@code json.dumps(value, ensure_ascii=False)}, which is what chat templates are given as {@code
 * tojson}: keys in their order, {@code ", "} and {@code ": "} between, nothing escaped for HTML.
 */
final class PythonJson {
  private static final String ESCAPED = "\"\\\b\f\n\r\t";
  private static final String LETTERS = "\"\\bfnrt";

  private final StringBuilder out = new StringBuilder();
  private final Meter meter;
  private final String indent;
  private final String itemSeparator;
  private final String keySeparator;
  private final boolean sorted;
  private final boolean ascii;

  /**
   * @param indent of one level; null for everything on one line
   */
  PythonJson(
      Meter meter,
      String indent,
      String itemSeparator,
      String keySeparator,
      boolean sorted,
      boolean ascii) {
    this.meter = meter;
    this.indent = indent;
    this.itemSeparator = itemSeparator;
    this.keySeparator = keySeparator;
    this.sorted = sorted;
    this.ascii = ascii;
  }

  String write(Object value) {
    write(value, 0);
    return meter.text(out.toString());
  }

  private void write(Object value, int depth) {
    meter.step();
    if (out.length() > Meter.MOST_CHARACTERS || depth > 100) {
      throw new TemplateException("makes JSON that is too long or too deep");
    }
    switch (value) {
      case null -> out.append("null");
      case Boolean flag -> out.append(flag);
      case Long number -> out.append(number);
      case Double number -> out.append(number(number));
      case String text -> string(text);
      case Tuple(List<Object> items) -> list(items, depth);
      case List<?> items -> list(items, depth);
      case Map<?, ?> map -> map(map, depth);
      default -> throw new TemplateException(Values.type(value) + " cannot become JSON");
    }
  }

  private static String number(double number) {
    return Double.isNaN(number)
        ? "NaN"
        : Double.isInfinite(number)
            ? number > 0 ? "Infinity" : "-Infinity"
            : PythonText.repr(number);
  }

  private void list(List<?> items, int depth) {
    out.append('[');
    boolean first = true;
    for (Object item : items) {
      separate(first, depth + 1);
      first = false;
      write(item, depth + 1);
    }
    end(items.isEmpty(), depth).append(']');
  }

  private void map(Map<?, ?> map, int depth) {
    out.append('{');
    boolean first = true;
    List<?> keys =
        sorted
            ? map.keySet().stream().sorted((a, b) -> Values.order(a, b, meter)).toList()
            : List.copyOf(map.keySet());
    for (Object key : keys) {
      separate(first, depth + 1);
      first = false;
      string(key.toString());
      out.append(keySeparator);
      write(map.get(key), depth + 1);
    }
    end(map.isEmpty(), depth).append('}');
  }

  private void separate(boolean first, int depth) {
    if (!first) {
      out.append(itemSeparator);
    }
    newline(depth);
  }

  private void newline(int depth) {
    if (indent != null) {
      meter.characters((long) indent.length() * depth);
      out.append('\n').append(indent.repeat(depth));
    }
  }

  private StringBuilder end(boolean empty, int depth) {
    if (!empty) {
      newline(depth);
    }
    return out;
  }

  private void string(String text) {
    meter.characters(text.length());
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      int escaped = ESCAPED.indexOf(c);
      if (escaped >= 0) {
        out.append('\\').append(LETTERS.charAt(escaped));
      } else if (c < 0x20 || (ascii && c > 0x7e)) {
        out.append("\\u%04x".formatted((int) c));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }
}
