package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Values.Given;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

/**
 * {@code value | filter}: Jinja2's own, but for {@code tojson}, which is that of chat templates.
 */
final class Filters {
  private static final Set<String> KNOWN =
      Set.of(
          "abs",
          "batch",
          "capitalize",
          "count",
          "d",
          "default",
          "dictsort",
          "first",
          "float",
          "indent",
          "int",
          "items",
          "join",
          "last",
          "length",
          "list",
          "lower",
          "map",
          "max",
          "min",
          "reject",
          "rejectattr",
          "replace",
          "reverse",
          "round",
          "select",
          "selectattr",
          "sort",
          "string",
          "sum",
          "title",
          "tojson",
          "trim",
          "unique",
          "upper");

  /**
   * {@code safe} marks a text for escaping, and there is none; but a marked text escapes others.
   */
  private static final Set<String> ONLY_AT_THE_END = Set.of("safe");

  private static final Pattern WORD_BEGIN =
      Pattern.compile("(?<=[-\\s({\\[<])(?![-\\s({\\[<])|(?<![-\\s({\\[<])(?=[-\\s({\\[<])");

  private final Meter meter;
  private final Lookup lookup;
  private final Numbers numbers;

  Filters(Meter meter, Lookup lookup) {
    this.meter = meter;
    this.lookup = lookup;
    this.numbers = new Numbers();
  }

  static void requireKnown(String name, int line) {
    if (!KNOWN.contains(name) && !ONLY_AT_THE_END.contains(name)) {
      throw TemplateException.at(
          line, "'| %s' is not a filter that is rendered here".formatted(name));
    }
  }

  Object apply(String name, Object value, Given given) {
    return switch (name) {
      case "abs" -> numbers.abs(value, given);
      case "int" -> numbers.integer(value, given);
      case "float" -> numbers.floating(value, given);
      case "round" -> numbers.round(value, given);
      case "upper" -> text(name, value, given, text -> text.toUpperCase(Locale.ROOT));
      case "lower" -> text(name, value, given, text -> text.toLowerCase(Locale.ROOT));
      case "capitalize" -> text(name, value, given, StringMethods::capitalize);
      case "title" -> text(name, value, given, Filters::title);
      case "string" -> text(name, value, given, text -> text);
      case "trim" -> {
        Object characters = given.bind(name, 0, "chars")[0];
        boolean spaces = Given.isAbsent(characters) || characters == null;
        yield StringMethods.strip(
            str(value), spaces ? null : Values.text(characters, "chars"), true, true);
      }
      case "replace" -> {
        Object[] bound = given.bind(name, 2, "old", "new", "count");
        int most =
            Given.isAbsent(bound[2]) || bound[2] == null ? -1 : Values.integer(bound[2], "count");
        yield StringMethods.replace(str(value), str(bound[0]), str(bound[1]), most, meter);
      }
      case "indent" -> indent(value, given);
      case "tojson" -> json(value, given);
      case "length", "count" -> {
        given.bind(name, 0);
        yield Values.length(value);
      }
      case "default", "d" -> {
        Object[] bound = given.bind(name, 0, "default_value", "boolean");
        boolean alsoFalse = !Given.isAbsent(bound[1]) && Values.truth(bound[1]);
        boolean replaced = value instanceof Undefined || (alsoFalse && !Values.truth(value));
        yield replaced ? (Given.isAbsent(bound[0]) ? "" : bound[0]) : value;
      }
      case "join" -> join(value, given);
      case "items" -> items(value, given);
      default -> lists(name, value, given);
    };
  }

  private Object lists(String name, Object value, Given given) {
    return switch (name) {
      case "first", "last" -> {
        given.bind(name, 0);
        if (value instanceof Generator && name.equals("last")) {
          throw new TemplateException("what a filter gives has no last element");
        }
        List<?> items = Values.iterate(value, meter);
        yield items.isEmpty()
            ? new Undefined("there is no " + name + " element: the sequence is empty")
            : name.equals("first") ? items.getFirst() : items.getLast();
      }
      case "list" -> {
        given.bind(name, 0);
        yield new ArrayList<Object>(Values.iterate(value, meter));
      }
      case "reverse" -> {
        given.bind(name, 0);
        if (value instanceof String text) {
          yield meter.text(new StringBuilder(text).reverse().toString());
        }
        if (value instanceof Generator) {
          yield new ArrayList<Object>(Values.iterate(value, meter).reversed());
        }
        yield new Generator(new ArrayList<>(Values.iterate(value, meter).reversed()));
      }
      case "batch" -> batch(value, given);
      case "sort" -> {
        Object[] bound = given.bind(name, 0, "reverse", "case_sensitive", "attribute");
        UnaryOperator<Object> key = key(bound[1], bound[2]);
        yield sorted(Values.iterate(value, meter), key, bound[0]);
      }
      case "dictsort" -> dictsort(value, given);
      case "unique" -> unique(value, given);
      case "min", "max" -> {
        Object[] bound = given.bind(name, 0, "case_sensitive", "attribute");
        yield extreme(name, Values.iterate(value, meter), key(bound[0], bound[1]));
      }
      case "sum" -> {
        Object[] bound = given.bind(name, 0, "attribute", "start");
        Object sum = Given.isAbsent(bound[1]) ? 0L : bound[1];
        for (Object item : Values.iterate(value, meter)) {
          sum = Arithmetic.apply("+", sum, attribute(item, bound[0]), meter);
        }
        yield sum;
      }
      case "map" -> map(value, given);
      case "select", "reject" -> select(name, value, given, 0, name.equals("select"));
      case "selectattr", "rejectattr" -> select(name, value, given, 1, name.equals("selectattr"));
      case "safe" ->
          throw new TemplateException("'| safe' is rendered here at the end of {{ … }} only");
      default ->
          throw new TemplateException("'%s' is not a filter that is rendered here".formatted(name));
    };
  }

  private String str(Object value) {
    return meter.text(PythonText.str(value, meter));
  }

  private String text(String name, Object value, Given given, UnaryOperator<String> change) {
    given.bind(name, 0);
    return meter.text(change.apply(str(value)));
  }

  private static String title(String text) {
    StringBuilder out = new StringBuilder();
    for (String word : WORD_BEGIN.split(text, -1)) {
      if (!word.isEmpty()) {
        int end = word.offsetByCodePoints(0, 1);
        out.append(word.substring(0, end).toUpperCase(Locale.ROOT))
            .append(word.substring(end).toLowerCase(Locale.ROOT));
      }
    }
    return out.toString();
  }

  private String indent(Object value, Given given) {
    Object[] bound = given.bind("indent", 0, "width", "first", "blank");
    String indention =
        Given.isAbsent(bound[0])
            ? "    "
            : bound[0] instanceof String text
                ? text
                : (String) Arithmetic.apply("*", " ", bound[0], meter);
    boolean first = !Given.isAbsent(bound[1]) && Values.truth(bound[1]);
    boolean blank = !Given.isAbsent(bound[2]) && Values.truth(bound[2]);
    List<String> lines = StringMethods.lines(Values.text(value, "what is indented") + "\n");
    meter.characters((long) lines.size() * indention.length());
    StringBuilder out = new StringBuilder(first ? indention : "").append(lines.getFirst());
    for (String line : lines.subList(1, lines.size())) {
      out.append('\n').append(blank || !line.isEmpty() ? indention : "").append(line);
    }
    return meter.text(out.toString());
  }

  private String json(Object value, Given given) {
    Object[] bound = given.bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys");
    Object indent = Given.isAbsent(bound[1]) ? null : bound[1];
    String level =
        switch (indent) {
          case null -> null;
          case String text -> text;
          default -> (String) Arithmetic.apply("*", " ", indent, meter);
        };
    String item = level == null ? ", " : ",";
    String key = ": ";
    if (!Given.isAbsent(bound[2]) && bound[2] != null) {
      List<?> both = Values.iterate(bound[2], meter);
      if (both.size() != 2) {
        throw new TemplateException("tojson's separators are two");
      }
      item = Values.text(both.get(0), "a separator");
      key = Values.text(both.get(1), "a separator");
    }
    boolean sorted = !Given.isAbsent(bound[3]) && Values.truth(bound[3]);
    boolean ascii = !Given.isAbsent(bound[0]) && Values.truth(bound[0]);
    return new PythonJson(meter, level, item, key, sorted, ascii).write(value);
  }

  private String join(Object value, Given given) {
    Object[] bound = given.bind("join", 0, "d", "attribute");
    String between = Given.isAbsent(bound[0]) ? "" : str(bound[0]);
    StringBuilder out = new StringBuilder();
    boolean first = true;
    for (Object item : Values.iterate(value, meter)) {
      out.append(first ? "" : between).append(str(attribute(item, bound[1])));
      if (out.length() > Meter.MOST_CHARACTERS) {
        meter.characters(out.length());
      }
      first = false;
    }
    return meter.text(out.toString());
  }

  private Object items(Object value, Given given) {
    given.bind("items", 0);
    if (value instanceof Undefined) {
      return new Generator(List.of());
    }
    if (!(value instanceof Map<?, ?> map)) {
      throw new TemplateException(Values.type(value) + " has no items");
    }
    return new Generator(lookup.pairs(map));
  }

  private Generator batch(Object value, Given given) {
    Object[] bound = given.bind("batch", 1, "linecount", "fill_with");
    int size = Values.integer(bound[0], "linecount");
    if (size < 1 || !Given.isAbsent(bound[1])) {
      throw new TemplateException("batch is rendered here for 1 or more, without fill_with");
    }
    List<Object> rows = new ArrayList<>();
    List<Object> row = new ArrayList<>();
    for (Object item : Values.iterate(value, meter)) {
      if (row.size() == size) {
        rows.add(row);
        row = new ArrayList<>();
      }
      row.add(item);
    }
    if (!row.isEmpty()) {
      rows.add(row);
    }
    return new Generator(rows);
  }

  /** What is compared: an attribute, in small letters unless they count. */
  private UnaryOperator<Object> key(Object caseSensitive, Object attribute) {
    boolean exact = !Given.isAbsent(caseSensitive) && Values.truth(caseSensitive);
    return item -> {
      Object key = attribute(item, attribute);
      return !exact && key instanceof String text ? meter.text(text.toLowerCase(Locale.ROOT)) : key;
    };
  }

  /** The element under {@code a.b.0}; the item itself where there is no attribute. */
  private Object attribute(Object item, Object attribute) {
    if (Given.isAbsent(attribute) || attribute == null) {
      return item;
    }
    if (attribute instanceof Long) {
      return lookup.item(item, attribute);
    }
    Object at = item;
    for (String part : Values.text(attribute, "attribute").split("\\.", -1)) {
      if (part.contains(",")) {
        throw new TemplateException("several attributes at once are not rendered here");
      }
      boolean number = !part.isEmpty() && part.chars().allMatch(c -> c >= '0' && c <= '9');
      at = lookup.item(at, number ? (Object) Long.valueOf(part) : part);
    }
    return at;
  }

  private List<Object> sorted(List<?> items, UnaryOperator<Object> key, Object reversed) {
    record Keyed(Object key, Object item) {}
    boolean down = !Given.isAbsent(reversed) && Values.truth(reversed);
    return items.stream()
        .map(item -> new Keyed(key.apply(item), item))
        .sorted((a, b) ->
            down ? Values.order(b.key(), a.key(), meter) : Values.order(a.key(), b.key(), meter))
        .map(Keyed::item)
        .collect(ArrayList::new, List::add, List::addAll);
  }

  private List<Object> dictsort(Object value, Given given) {
    Object[] bound = given.bind("dictsort", 0, "case_sensitive", "by", "reverse");
    if (!(value instanceof Map<?, ?> map)) {
      throw new TemplateException(Values.type(value) + " is no dict");
    }
    String by = Given.isAbsent(bound[1]) ? "key" : Values.text(bound[1], "by");
    if (!by.equals("key") && !by.equals("value")) {
      throw new TemplateException("dictsort is by key or value");
    }
    return sorted(lookup.pairs(map), key(bound[0], by.equals("key") ? 0L : 1L), bound[2]);
  }

  private Generator unique(Object value, Given given) {
    Object[] bound = given.bind("unique", 0, "case_sensitive", "attribute");
    UnaryOperator<Object> key = key(bound[0], bound[1]);
    Map<Object, Object> seen = new LinkedHashMap<>();
    for (Object item : Values.iterate(value, meter)) {
      seen.putIfAbsent(Values.key(key.apply(item)), item);
    }
    return new Generator(new ArrayList<>(seen.values()));
  }

  private Object extreme(String name, List<?> items, UnaryOperator<Object> key) {
    if (items.isEmpty()) {
      return new Undefined("there is no " + name + ": the sequence is empty");
    }
    Object best = items.getFirst();
    for (Object item : items.subList(1, items.size())) {
      int order = Values.order(key.apply(item), key.apply(best), meter);
      best = (name.equals("max") ? order > 0 : order < 0) ? item : best;
    }
    return best;
  }

  private Generator map(Object value, Given given) {
    List<Object> out = new ArrayList<>();
    if (given.positional().isEmpty()) {
      Object[] bound = given.bind("map", 0, "attribute", "default");
      if (Given.isAbsent(bound[0])) {
        throw new TemplateException("map needs the name of a filter, or attribute=");
      }
      for (Object item : Values.iterate(value, meter)) {
        Object found = attribute(item, bound[0]);
        boolean absent = found instanceof Undefined && !Given.isAbsent(bound[1]);
        out.add(absent && bound[1] != null ? bound[1] : found);
      }
      return new Generator(out);
    }
    String name = Values.text(given.positional().getFirst(), "the name of a filter");
    if (!KNOWN.contains(name)) {
      throw new TemplateException("'%s' is not a filter that is rendered here".formatted(name));
    }
    meter.enter();
    for (Object item : Values.iterate(value, meter)) {
      out.add(apply(name, item, without(given, 1)));
    }
    meter.leave();
    return new Generator(out);
  }

  private static Given without(Given given, int count) {
    List<Object> all = given.positional();
    return new Given(all.subList(Math.min(count, all.size()), all.size()), given.named());
  }

  private Generator select(String name, Object value, Given given, int attributes, boolean wanted) {
    List<Object> arguments = given.positional();
    if (arguments.size() < attributes) {
      throw new TemplateException(name + " needs the name of an attribute");
    }
    UnaryOperator<Object> of =
        attributes == 0 ? item -> item : item -> attribute(item, arguments.getFirst());
    Predicate<Object> test;
    if (arguments.size() > attributes) {
      String testName = Values.text(arguments.get(attributes), "the name of a test");
      Given rest = without(given, attributes + 1);
      test = item -> Tests.apply(testName, item, rest, meter);
    } else {
      test = Values::truth;
    }
    List<Object> out = new ArrayList<>();
    for (Object item : Values.iterate(value, meter)) {
      if (test.test(of.apply(item)) == wanted) {
        out.add(item);
      }
    }
    return new Generator(out);
  }
}
