package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Values.Given;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** {@code value is test}: Jinja2's own. */
final class Tests {
  private static final Set<String> ALONE =
      Set.of(
          "odd",
          "even",
          "defined",
          "undefined",
          "none",
          "boolean",
          "false",
          "true",
          "integer",
          "float",
          "lower",
          "upper",
          "string",
          "mapping",
          "number",
          "sequence",
          "iterable",
          "callable");
  private static final Set<String> WITH_ANOTHER =
      Set.of(
          "divisibleby",
          "in",
          "eq",
          "equalto",
          "ne",
          "gt",
          "greaterthan",
          "ge",
          "lt",
          "lessthan",
          "le",
          "sameas",
          "==",
          "!=",
          ">",
          ">=",
          "<",
          "<=");

  private Tests() {}

  static void requireKnown(String name, int line) {
    if (!ALONE.contains(name) && !WITH_ANOTHER.contains(name)) {
      throw TemplateException.at(
          line, "'is %s' is not a test that is rendered here".formatted(name));
    }
  }

  static boolean apply(String name, Object value, Given given, Meter meter) {
    if (!ALONE.contains(name) && !WITH_ANOTHER.contains(name)) {
      throw new TemplateException("'%s' is not a test that is rendered here".formatted(name));
    }
    if (WITH_ANOTHER.contains(name)) {
      return with(name, value, given.bind("the test " + name, 1, "other")[0], meter);
    }
    given.bind("the test " + name, 0);
    return switch (name) {
      case "odd" -> Math.floorMod(whole(value), 2) == 1;
      case "even" -> Math.floorMod(whole(value), 2) == 0;
      case "defined" -> !(value instanceof Undefined);
      case "undefined" -> value instanceof Undefined;
      case "none" -> value == null;
      case "boolean" -> value instanceof Boolean;
      case "false" -> Boolean.FALSE.equals(value);
      case "true" -> Boolean.TRUE.equals(value);
      case "integer" -> value instanceof Long;
      case "float" -> value instanceof Double;
      case "lower" -> StringMethods.isLower(PythonText.str(value, meter));
      case "upper" -> StringMethods.isUpper(PythonText.str(value, meter));
      case "string" -> value instanceof String;
      case "mapping" -> value instanceof Map;
      case "number" -> Values.isNumber(value);
      case "callable" ->
          value instanceof Function || value instanceof Undefined || value instanceof Loop;
      case "sequence" -> isSequence(value) || (value instanceof View v && isRange(v));
      default -> isSequence(value) || value instanceof View || value instanceof Generator;
    };
  }

  private static boolean isRange(View view) {
    return view.kind() == View.Kind.RANGE;
  }

  private static boolean isSequence(Object value) {
    return value instanceof String
        || value instanceof List
        || value instanceof Tuple
        || value instanceof Map
        || value instanceof Undefined;
  }

  private static boolean with(String name, Object value, Object other, Meter meter) {
    return switch (name) {
      case "divisibleby" -> {
        long divisor = whole(other);
        if (divisor == 0) {
          throw new TemplateException("divides by zero");
        }
        yield whole(value) % divisor == 0;
      }
      case "in" -> Values.contains(other, value, meter);
      case "eq", "equalto", "==" -> Values.equal(value, other, meter);
      case "ne", "!=" -> !Values.equal(value, other, meter);
      case "gt", "greaterthan", ">" -> Values.order(value, other, meter) > 0;
      case "ge", ">=" -> Values.order(value, other, meter) >= 0;
      case "lt", "lessthan", "<" -> Values.order(value, other, meter) < 0;
      case "le", "<=" -> Values.order(value, other, meter) <= 0;
      default -> same(value, other);
    };
  }

  /** Identity, where Python's is not a matter of its implementation. */
  private static boolean same(Object value, Object other) {
    if (value == null || other == null) {
      return value == null && other == null;
    }
    if (value instanceof Boolean || other instanceof Boolean) {
      return value.equals(other);
    }
    throw new TemplateException("'is sameas' is rendered here for none, true and false");
  }

  private static long whole(Object value) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (!(Values.number(value) instanceof Long whole)) {
      throw new TemplateException("a float is no whole number");
    }
    return whole;
  }
}
