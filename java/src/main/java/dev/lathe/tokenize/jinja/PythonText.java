package dev.lathe.tokenize.jinja;

import java.math.BigDecimal;
import java.util.List;
import java.util.Map;

/** How Python writes values, and its strings, which count code points. */
final class PythonText {
  private PythonText() {}

  /** {@code str(value)}: what {@code {{ value }}} writes. */
  static String str(Object value, Meter meter) {
    return switch (value) {
      case String text -> text;
      case Undefined _ -> "";
      case null, default -> {
        StringBuilder out = new StringBuilder();
        repr(value, out, meter);
        yield out.toString();
      }
    };
  }

  /** Metered at every element: a few steps make lists that are long when they are written. */
  private static void repr(Object value, StringBuilder out, Meter meter) {
    meter.step();
    if (out.length() > Meter.MOST_CHARACTERS) {
      meter.characters(out.length());
    }
    switch (value) {
      case null -> out.append("None");
      case Boolean flag -> out.append(flag ? "True" : "False");
      case Long number -> out.append(number);
      case Double number -> out.append(repr(number.doubleValue()));
      case String text -> {
        meter.characters(text.length());
        out.append(repr(text));
      }
      case Tuple(List<Object> items) -> {
        items(items, "(", items.size() == 1 ? ",)" : ")", out, meter);
      }
      case List<?> items -> items(items, "[", "]", out, meter);
      case Map<?, ?> map -> {
        out.append('{');
        String between = "";
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          out.append(between);
          repr(entry.getKey(), out, meter);
          out.append(": ");
          repr(entry.getValue(), out, meter);
          between = ", ";
        }
        out.append('}');
      }
      case View view when view.kind() != View.Kind.RANGE ->
          items(view.items(), "dict_" + view.kind().word + "([", "])", out, meter);
      case Undefined _ -> out.append("Undefined");
      default -> throw new TemplateException(Values.type(value) + " cannot be written");
    }
  }

  private static void items(
      List<?> items, String begin, String end, StringBuilder out, Meter meter) {
    out.append(begin);
    String between = "";
    for (Object item : items) {
      out.append(between);
      repr(item, out, meter);
      between = ", ";
    }
    out.append(end);
  }

  /** The shortest decimal that is the number; with an exponent from 1e16 on and below 1e-4. */
  static String repr(double number) {
    if (Double.isNaN(number)) {
      return "nan";
    }
    if (Double.isInfinite(number)) {
      return number > 0 ? "inf" : "-inf";
    }
    if (number == 0) {
      return 1 / number < 0 ? "-0.0" : "0.0";
    }
    BigDecimal shortest = new BigDecimal(Double.toString(number)).stripTrailingZeros();
    String digits = shortest.unscaledValue().abs().toString();
    int exponent = digits.length() - 1 - shortest.scale();
    String sign = number < 0 ? "-" : "";
    if (exponent < -4 || exponent >= 16) {
      String fraction = digits.length() == 1 ? "" : "." + digits.substring(1);
      return "%s%s%se%s%02d"
          .formatted(
              sign, digits.charAt(0), fraction, exponent < 0 ? "-" : "+", Math.abs(exponent));
    }
    String plain = shortest.abs().toPlainString();
    return sign + (plain.contains(".") ? plain : plain + ".0");
  }

  static String repr(String text) {
    boolean doubled = text.contains("'") && !text.contains("\"");
    char quote = doubled ? '"' : '\'';
    StringBuilder out = new StringBuilder().append(quote);
    text.codePoints()
        .forEach(c -> {
          switch (c) {
            case '\n' -> out.append("\\n");
            case '\r' -> out.append("\\r");
            case '\t' -> out.append("\\t");
            case '\\' -> out.append("\\\\");
            default -> {
              if (c == quote) {
                out.append('\\').append(quote);
              } else if (isPrintable(c)) {
                out.appendCodePoint(c);
              } else if (c < 0x100) {
                out.append("\\x%02x".formatted(c));
              } else {
                out.append((c < 0x10000 ? "\\u%04x" : "\\U%08x").formatted(c));
              }
            }
          }
        });
    return out.append(quote).toString();
  }

  private static boolean isPrintable(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      case Character.SPACE_SEPARATOR -> c == ' ';
      default -> true;
    };
  }

  static int length(String text) {
    return text.codePointCount(0, text.length());
  }

  /** {@code str.isspace} of one character. */
  static boolean isSpace(int c) {
    return (c >= 9 && c <= 13)
        || (c >= 0x1c && c <= 0x20)
        || c == 0x85
        || c == 0xa0
        || c == 0x1680
        || (c >= 0x2000 && c <= 0x200a)
        || c == 0x2028
        || c == 0x2029
        || c == 0x202f
        || c == 0x205f
        || c == 0x3000;
  }

  static String strip(String text) {
    return stripLeft(stripRight(text));
  }

  /** No space lies beyond 16 bits, so chars do. */
  static String stripRight(String text) {
    int end = text.length();
    while (end > 0 && isSpace(text.charAt(end - 1))) {
      end--;
    }
    return text.substring(0, end);
  }

  static String stripLeft(String text) {
    int from = 0;
    while (from < text.length() && isSpace(text.charAt(from))) {
      from++;
    }
    return text.substring(from);
  }
}
