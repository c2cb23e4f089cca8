package dev.lathe.tokenize.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/**
 * Python's values and what they are to each other. None is null, an integer a {@code Long}, a float
 * a {@code Double}, a list a {@code List}, a dictionary a {@code Map} that keeps its order.
 */
final class Values {
  private Values() {}

  /** Arguments of a call. */
  record Given(List<Object> positional, Map<String, Object> named) {
    /** Stands for an argument that was not given. */
    private enum Absent {
      ABSENT
    }

    /**
     * The arguments in the order of their names.
     *
     * @param required how many must be there
     */
    Object[] bind(String function, int required, String... names) {
      if (positional.size() > names.length) {
        throw new TemplateException(
            "%s takes at most %d arguments".formatted(function, names.length));
      }
      Object[] bound = new Object[names.length];
      int used = 0;
      for (int i = 0; i < names.length; i++) {
        boolean named = this.named.containsKey(names[i]);
        if (named && i < positional.size()) {
          throw new TemplateException("%s is given '%s' twice".formatted(function, names[i]));
        }
        used += named ? 1 : 0;
        bound[i] =
            i < positional.size()
                ? positional.get(i)
                : named ? this.named.get(names[i]) : Absent.ABSENT;
        if (isAbsent(bound[i]) && i < required) {
          throw new TemplateException("%s needs '%s'".formatted(function, names[i]));
        }
      }
      if (used < this.named.size()) {
        throw new TemplateException("%s does not take %s".formatted(function, this.named.keySet()));
      }
      return bound;
    }

    static boolean isAbsent(Object argument) {
      return argument instanceof Absent;
    }
  }

  /** What messages call a value's type. */
  static String type(Object value) {
    return switch (value) {
      case null -> "None";
      case Boolean _ -> "a bool";
      case Long _ -> "an int";
      case Double _ -> "a float";
      case String _ -> "a str";
      case Tuple _ -> "a tuple";
      case List<?> _ -> "a list";
      case Map<?, ?> _ -> "a dict";
      case Undefined _ -> "what is undefined";
      case Namespace _ -> "a namespace";
      case Function _ -> "a function";
      case View view -> view.kind() == View.Kind.RANGE ? "a range" : "a view of a dict";
      default -> "what a filter gives";
    };
  }

  static boolean truth(Object value) {
    return switch (value) {
      case null -> false;
      case Boolean flag -> flag;
      case Long number -> number != 0;
      case Double number -> number != 0;
      case String text -> !text.isEmpty();
      case Tuple(List<Object> items) -> !items.isEmpty();
      case List<?> items -> !items.isEmpty();
      case Map<?, ?> map -> !map.isEmpty();
      case View view -> !view.items().isEmpty();
      case Undefined _ -> false;
      default -> true;
    };
  }

  static boolean isNumber(Object value) {
    return value instanceof Long || value instanceof Double || value instanceof Boolean;
  }

  /** A number as an integer where it is one, a bool as 0 or 1. */
  static Number number(Object value) {
    return switch (value) {
      case Boolean flag -> flag ? 1L : 0L;
      case Long number -> number;
      case Double number -> number;
      case null, default -> throw new TemplateException(type(value) + " is no number");
    };
  }

  static int integer(Object value, String what) {
    if (!(value instanceof Long || value instanceof Boolean)) {
      throw new TemplateException("%s must be an integer, not %s".formatted(what, type(value)));
    }
    return Math.clamp(number(value).longValue(), -Integer.MAX_VALUE, Integer.MAX_VALUE);
  }

  static String text(Object value, String what) {
    if (value instanceof String text) {
      return text;
    }
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    throw new TemplateException("%s must be a str, not %s".formatted(what, type(value)));
  }

  static boolean equal(Object left, Object right, Meter meter) {
    meter.step();
    if (isNumber(left) && isNumber(right)) {
      return compareNumbers(number(left), number(right)) == 0 && !isNan(left) && !isNan(right);
    }
    return switch (left) {
      case null -> right == null;
      case String text -> {
        meter.characters(text.length());
        yield text.equals(right);
      }
      case Tuple(List<Object> items) ->
          right instanceof Tuple(List<Object> others) && equalLists(items, others, meter);
      case List<?> items -> right instanceof List<?> others && equalLists(items, others, meter);
      case Map<?, ?> map -> right instanceof Map<?, ?> other && equalMaps(map, other, meter);
      case Undefined _ -> right instanceof Undefined;
      case View _ -> throw new TemplateException("compares " + type(left));
      default -> left.equals(right); // functions and namespaces are equal to themselves only
    };
  }

  private static boolean isNan(Object value) {
    return value instanceof Double number && number.isNaN();
  }

  private static boolean equalLists(List<?> left, List<?> right, Meter meter) {
    if (left.size() != right.size()) {
      return false;
    }
    Iterator<?> other = right.iterator();
    for (Object item : left) {
      if (!equal(item, other.next(), meter)) {
        return false;
      }
    }
    return true;
  }

  private static boolean equalMaps(Map<?, ?> left, Map<?, ?> right, Meter meter) {
    if (left.size() != right.size()) {
      return false;
    }
    for (Map.Entry<?, ?> entry : left.entrySet()) {
      if (!right.containsKey(entry.getKey())
          || !equal(entry.getValue(), right.get(entry.getKey()), meter)) {
        return false;
      }
    }
    return true;
  }

  private static int compareNumbers(Number left, Number right) {
    return left instanceof Long a && right instanceof Long b
        ? Long.compare(a, b)
        : Double.compare(left.doubleValue() + 0.0, right.doubleValue() + 0.0);
  }

  /** Below 0, 0 or above; only numbers, texts and lists have an order. */
  static int order(Object left, Object right, Meter meter) {
    meter.step();
    if (isNumber(left) && isNumber(right) && !isNan(left) && !isNan(right)) {
      return compareNumbers(number(left), number(right));
    }
    if (left instanceof String a && right instanceof String b) {
      meter.characters(Math.min(a.length(), b.length()));
      return comparePoints(a, b);
    }
    List<?> a = left instanceof Tuple tuple ? tuple.items() : left instanceof List<?> l ? l : null;
    List<?> b =
        right instanceof Tuple tuple ? tuple.items() : right instanceof List<?> l ? l : null;
    if (a == null || b == null || left instanceof Tuple != right instanceof Tuple) {
      if (left instanceof Undefined undefined) {
        throw undefined.error();
      }
      throw new TemplateException("%s and %s have no order".formatted(type(left), type(right)));
    }
    for (int i = 0; i < Math.min(a.size(), b.size()); i++) {
      if (!equal(a.get(i), b.get(i), meter)) {
        return order(a.get(i), b.get(i), meter);
      }
    }
    return Integer.compare(a.size(), b.size());
  }

  /** Code points, where {@code compareTo} takes halves of surrogate pairs. */
  private static int comparePoints(String a, String b) {
    return java.util.Arrays.compare(a.codePoints().toArray(), b.codePoints().toArray());
  }

  /** {@code item in container}. */
  static boolean contains(Object container, Object item, Meter meter) {
    return switch (container) {
      case String text -> {
        meter.characters(text.length());
        yield text.contains(text(item, "what is looked for in a str"));
      }
      case Map<?, ?> map -> map.containsKey(key(item));
      case null, default -> {
        for (Object element : iterate(container, meter)) {
          if (equal(element, item, meter)) {
            yield true;
          }
        }
        yield false;
      }
    };
  }

  /** A value as the key of a dictionary; only texts and integers are, so that equal keys are. */
  static Object key(Object value) {
    if (value instanceof String || value instanceof Long) {
      return value;
    }
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    throw new TemplateException(
        "uses %s as the key of a dict; str and int are rendered here".formatted(type(value)));
  }

  /** What a loop goes through. */
  static List<?> iterate(Object value, Meter meter) {
    List<?> items =
        switch (value) {
          case Tuple(List<Object> inner) -> inner;
          case List<?> list -> list;
          case View view -> view.items();
          case Generator generator -> generator.take();
          case Map<?, ?> map -> new ArrayList<>(map.keySet());
          case String text -> {
            meter.steps(text.length());
            yield text.codePoints().mapToObj(Character::toString).toList();
          }
          case Undefined _ -> List.of();
          case null, default ->
              throw new TemplateException(type(value) + " cannot be gone through");
        };
    meter.steps(items.size());
    return items;
  }

  static long length(Object value) {
    return switch (value) {
      case String text -> PythonText.length(text);
      case Tuple(List<Object> items) -> items.size();
      case List<?> items -> items.size();
      case Map<?, ?> map -> map.size();
      case View view -> view.items().size();
      case Undefined _ -> 0;
      case null, default -> throw new TemplateException(type(value) + " has no length");
    };
  }
}
