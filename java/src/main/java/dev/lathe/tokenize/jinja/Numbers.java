package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Values.Given;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.regex.Pattern;

/** Filters that make numbers. */
final class Numbers {
  private static final Pattern INTEGER = Pattern.compile("[+-]?\\d+(_\\d+)*");
  private static final Pattern FLOAT =
      Pattern.compile("[+-]?(\\d+(_\\d+)*\\.?(\\d+(_\\d+)*)?|\\.\\d+(_\\d+)*)([eE][+-]?\\d+)?");

  Object abs(Object value, Given given) {
    given.bind("abs", 0);
    return switch (Values.number(value)) {
      case Long number when number == Long.MIN_VALUE ->
          throw new TemplateException("an integer passes 64 bits, which is not rendered here");
      case Long number -> Math.abs(number);
      case Number number -> Math.abs(number.doubleValue());
    };
  }

  Object integer(Object value, Given given) {
    Object[] bound = given.bind("int", 0, "default", "base");
    if (!Given.isAbsent(bound[1]) && !Long.valueOf(10).equals(bound[1])) {
      throw new TemplateException("int is rendered here for base 10");
    }
    Object otherwise = Given.isAbsent(bound[0]) ? 0L : bound[0];
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (value instanceof String text) {
      String digits = PythonText.strip(text);
      if (INTEGER.matcher(digits).matches()) {
        try {
          return Long.parseLong(digits.replace("_", ""));
        } catch (NumberFormatException e) {
          throw new TemplateException(digits + " passes 64 bits, which is not rendered here");
        }
      }
      Double number = parse(digits);
      return number == null || number.isInfinite() ? otherwise : truncated(number);
    }
    if (value instanceof Double number) {
      return number.isNaN() || number.isInfinite() ? otherwise : truncated(number);
    }
    return Values.isNumber(value) ? Values.number(value) : otherwise;
  }

  private static Object truncated(double number) {
    if (Math.abs(number) >= 0x1p63) {
      throw new TemplateException("an integer passes 64 bits, which is not rendered here");
    }
    return (long) number;
  }

  Object floating(Object value, Given given) {
    Object[] bound = given.bind("float", 0, "default");
    Object otherwise = Given.isAbsent(bound[0]) ? 0.0 : bound[0];
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (value instanceof String text) {
      String digits = PythonText.strip(text);
      if (digits.toLowerCase(java.util.Locale.ROOT).matches("[+-]?(nan|inf|infinity)")) {
        throw new TemplateException("float of nan and inf is not rendered here");
      }
      Double number = parse(digits);
      return number == null ? otherwise : number;
    }
    return Values.isNumber(value) ? (Object) Values.number(value).doubleValue() : otherwise;
  }

  /** Null where it is no number. */
  private static Double parse(String digits) {
    return FLOAT.matcher(digits).matches() ? Double.valueOf(digits.replace("_", "")) : null;
  }

  Object round(Object value, Given given) {
    Object[] bound = given.bind("round", 0, "precision", "method");
    int precision = Given.isAbsent(bound[0]) ? 0 : Values.integer(bound[0], "precision");
    String method = Given.isAbsent(bound[1]) ? "common" : Values.text(bound[1], "method");
    Number number =
        value instanceof Undefined u ? Values.number(throwing(u)) : Values.number(value);
    if (precision < 0 || precision > 15) {
      throw new TemplateException("round is rendered here for 0 to 15 digits");
    }
    double power = Math.pow(10, precision);
    return switch (method) {
      case "common" ->
          number instanceof Double d && Double.isFinite(d)
              ? (Object) new BigDecimal(d).setScale(precision, RoundingMode.HALF_EVEN).doubleValue()
              : number;
      case "ceil" -> Math.ceil(number.doubleValue() * power) / power;
      case "floor" -> Math.floor(number.doubleValue() * power) / power;
      default -> throw new TemplateException("round is common, ceil or floor");
    };
  }

  private static Object throwing(Undefined undefined) {
    throw undefined.error();
  }
}
