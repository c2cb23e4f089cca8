package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Values.Given;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** {@code a.b}, {@code a[b]} and {@code a[b:c]}: methods by name, elements by key. */
final class Lookup {
  private static final Set<String> LIST_METHODS =
      Set.of(
          "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove",
          "reverse", "sort");
  private static final Set<String> DICT_METHODS =
      Set.of(
          "clear",
          "copy",
          "fromkeys",
          "get",
          "items",
          "keys",
          "pop",
          "popitem",
          "setdefault",
          "update",
          "values");

  private final Meter meter;

  Lookup(Meter meter) {
    this.meter = meter;
  }

  /** {@code of.name}: a method comes before a key of the same name. */
  Object attribute(Object of, String name) {
    Object method = method(of, name);
    if (method != null) {
      return method;
    }
    Object found = of instanceof Map<?, ?> map && map.containsKey(name) ? map.get(name) : null;
    return found != null || (of instanceof Map<?, ?> map && map.containsKey(name))
        ? found
        : missing(of, name);
  }

  /** {@code of[key]}: a key comes before a method of the same name. */
  Object item(Object of, Object key) {
    if (of instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (of instanceof Map<?, ?> map) {
      Object plain = key instanceof String || key instanceof Long ? key : Values.key(key);
      if (map.containsKey(plain)) {
        return map.get(plain);
      }
    }
    if (key instanceof String name) {
      Object method = method(of, name);
      return method != null ? method : missing(of, name);
    }
    if (key instanceof Long || key instanceof Boolean) {
      return element(of, Values.number(key).longValue());
    }
    if (of instanceof View || of instanceof Generator) {
      throw new TemplateException(Values.type(of) + " has no elements by number");
    }
    return Undefined.attribute(of, "[" + Values.type(key) + "]");
  }

  private Object element(Object of, long index) {
    List<?> items = list(of);
    if (items == null && of instanceof String text) {
      meter.characters(text.length());
      int length = PythonText.length(text);
      long at = index < 0 ? index + length : index;
      return at < 0 || at >= length
          ? Undefined.attribute(of, index)
          : Character.toString(text.codePointAt(text.offsetByCodePoints(0, (int) at)));
    }
    if (items == null) {
      if (of instanceof View || of instanceof Generator) {
        throw new TemplateException(Values.type(of) + " has no elements by number");
      }
      return Undefined.attribute(of, index);
    }
    long at = index < 0 ? index + items.size() : index;
    return at < 0 || at >= items.size() ? Undefined.attribute(of, index) : items.get((int) at);
  }

  private static List<?> list(Object of) {
    return of instanceof Tuple(List<Object> items) ? items : of instanceof List<?> l ? l : null;
  }

  /** A name that Jinja2's sandbox hides is an error; others are undefined. */
  private static Object missing(Object of, String name) {
    if (of instanceof Undefined undefined) {
      throw undefined.error();
    }
    boolean python = of == null || of instanceof Map || of instanceof List || of instanceof String;
    if (name.startsWith("__") || !(python || of instanceof Namespace || of instanceof Tuple)) {
      throw new TemplateException(
          "'%s' of %s is not rendered here".formatted(name, Values.type(of)));
    }
    return Undefined.attribute(of, name);
  }

  /** The method of Python's type; null where it has none of that name. */
  private Object method(Object of, String name) {
    return switch (of) {
      case String text -> StringMethods.find(text, name, meter);
      case Tuple(List<Object> items) when name.equals("count") || name.equals("index") ->
          listMethod(items, name);
      case List<?> items when LIST_METHODS.contains(name) -> listMethod(items, name);
      case Map<?, ?> map when DICT_METHODS.contains(name) -> dictMethod(map, name);
      case Namespace space -> space.fields.get(name);
      case Loop loop -> loop.field(name);
      case null, default -> null;
    };
  }

  private Function listMethod(List<?> items, String name) {
    return switch (name) {
      case "copy" ->
          given -> {
            given.bind("copy", 0);
            meter.steps(items.size());
            return new ArrayList<Object>(items);
          };
      case "count" ->
          given -> {
            Object wanted = given.bind("count", 1, "value")[0];
            return items.stream().filter(item -> Values.equal(item, wanted, meter)).count();
          };
      case "index" ->
          given -> {
            Object wanted = given.bind("index", 1, "value")[0];
            for (int i = 0; i < items.size(); i++) {
              if (Values.equal(items.get(i), wanted, meter)) {
                return (long) i;
              }
            }
            throw new TemplateException("the list does not have what is looked for");
          };
      default -> throw changes("list", name);
    };
  }

  private Function dictMethod(Map<?, ?> map, String name) {
    return switch (name) {
      case "get" ->
          given -> {
            Object[] bound = given.bind("get", 1, "key", "default");
            Object key = bound[0] instanceof Undefined u ? throwing(u) : bound[0];
            boolean plain = key instanceof String || key instanceof Long;
            if (plain && map.containsKey(key)) {
              return map.get(key);
            }
            return Given.isAbsent(bound[1]) ? null : bound[1];
          };
      case "items" ->
          given -> {
            given.bind("items", 0);
            return new View(View.Kind.ITEMS, pairs(map));
          };
      case "keys" ->
          given -> {
            given.bind("keys", 0);
            meter.steps(map.size());
            return new View(View.Kind.KEYS, new ArrayList<>(map.keySet()));
          };
      case "values" ->
          given -> {
            given.bind("values", 0);
            meter.steps(map.size());
            return new View(View.Kind.VALUES, new ArrayList<>(map.values()));
          };
      case "copy" ->
          given -> {
            given.bind("copy", 0);
            meter.steps(map.size());
            return new java.util.LinkedHashMap<Object, Object>(map);
          };
      default -> throw changes("dict", name);
    };
  }

  private static Object throwing(Undefined undefined) {
    throw undefined.error();
  }

  List<Object> pairs(Map<?, ?> map) {
    meter.steps(map.size());
    List<Object> pairs = new ArrayList<>();
    map.forEach((key, value) -> pairs.add(Tuple.of(key, value)));
    return pairs;
  }

  private static TemplateException changes(String type, String name) {
    return new TemplateException(
        "%s.%s changes what it is given, which templates may not".formatted(type, name));
  }

  /** Python's slices; null stands for what is left out. */
  Object slice(Object of, Object from, Object to, Object by) {
    if (of instanceof Undefined undefined) {
      throw undefined.error();
    }
    int step = by == null ? 1 : Values.integer(by, "the step of a slice");
    if (step == 0) {
      throw new TemplateException("the step of a slice is 0");
    }
    if (of instanceof String text) {
      meter.characters(text.length());
      int[] points = text.codePoints().toArray();
      StringBuilder out = new StringBuilder();
      for (int i : range(points.length, from, to, step)) {
        out.appendCodePoint(points[i]);
      }
      return out.toString();
    }
    List<?> items = list(of);
    if (items == null) {
      throw new TemplateException(Values.type(of) + " cannot be sliced");
    }
    List<Object> out = new ArrayList<>();
    for (int i : range(items.size(), from, to, step)) {
      out.add(items.get(i));
    }
    return of instanceof Tuple ? new Tuple(out) : out;
  }

  private int[] range(int length, Object from, Object to, int step) {
    int lowest = step > 0 ? 0 : -1;
    int highest = step > 0 ? length : length - 1;
    int begin = from == null ? (step > 0 ? lowest : highest) : place(from, length, lowest, highest);
    int end = to == null ? (step > 0 ? highest : lowest) : place(to, length, lowest, highest);
    java.util.stream.IntStream.Builder places = java.util.stream.IntStream.builder();
    for (long i = begin; step > 0 ? i < end : i > end; i += step) {
      meter.step();
      places.add((int) i);
    }
    return places.build().toArray();
  }

  private static int place(Object given, int length, int lowest, int highest) {
    long at = Values.integer(given, "the end of a slice");
    return Math.clamp(at < 0 ? at + length : at, lowest, highest);
  }
}
