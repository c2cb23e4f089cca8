package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Values.Given;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Functions that every chat template has. */
final class Globals {
  /** Jinja2's sandbox has the same limit. */
  private static final int LONGEST_RANGE = 100_000;

  private static final Map<Character, String> DATE_PATTERNS =
      Map.ofEntries(
          Map.entry('Y', "yyyy"),
          Map.entry('y', "yy"),
          Map.entry('m', "MM"),
          Map.entry('d', "dd"),
          Map.entry('H', "HH"),
          Map.entry('I', "hh"),
          Map.entry('M', "mm"),
          Map.entry('S', "ss"),
          Map.entry('p', "a"),
          Map.entry('B', "MMMM"),
          Map.entry('b', "MMM"),
          Map.entry('A', "EEEE"),
          Map.entry('a', "EEE"),
          Map.entry('j', "DDD"));

  private final Meter meter;
  private final LocalDateTime now;

  private Globals(Meter meter, LocalDateTime now) {
    this.meter = meter;
    this.now = now;
  }

  static void define(Scope scope, Meter meter, LocalDateTime now) {
    Globals globals = new Globals(meter, now);
    scope.put("range", (Function) globals::range);
    scope.put("dict", (Function) globals::dict);
    scope.put("namespace", (Function) globals::namespace);
    scope.put("raise_exception", (Function) globals::raise);
    scope.put("strftime_now", (Function) globals::time);
  }

  private View range(Given given) {
    Object[] bound = given.bind("range", 1, "start", "stop", "step");
    boolean one = Given.isAbsent(bound[1]);
    long from = one ? 0 : Values.integer(bound[0], "range");
    long to = Values.integer(one ? bound[0] : bound[1], "range");
    long step = Given.isAbsent(bound[2]) ? 1 : Values.integer(bound[2], "range");
    if (step == 0) {
      throw new TemplateException("a range has the step 0");
    }
    long count =
        Math.max(0, step > 0 ? Math.ceilDiv(to - from, step) : Math.ceilDiv(from - to, -step));
    if (count > LONGEST_RANGE) {
      throw new TemplateException("a range has more than %d elements".formatted(LONGEST_RANGE));
    }
    meter.steps(count);
    List<Object> items = new ArrayList<>((int) count);
    for (long i = 0; i < count; i++) {
      items.add(from + i * step);
    }
    return new View(View.Kind.RANGE, items);
  }

  private Map<Object, Object> dict(Given given) {
    Map<Object, Object> map = new LinkedHashMap<>();
    if (given.positional().size() > 1) {
      throw new TemplateException("dict takes one argument without a name");
    }
    for (Object argument : given.positional()) {
      if (argument instanceof Map<?, ?> other) {
        meter.steps(other.size());
        map.putAll(other);
      } else {
        for (Object pair : Values.iterate(argument, meter)) {
          List<?> both = Values.iterate(pair, meter);
          if (both.size() != 2) {
            throw new TemplateException("dict takes pairs");
          }
          map.put(Values.key(both.get(0)), both.get(1));
        }
      }
    }
    map.putAll(given.named());
    return map;
  }

  private Namespace namespace(Given given) {
    Namespace space = new Namespace();
    dict(given).forEach((key, value) -> space.fields.put(Values.text(key, "a field"), value));
    return space;
  }

  private Object raise(Given given) {
    Object message = given.bind("raise_exception", 1, "message")[0];
    throw new TemplateException(PythonText.str(message, meter), true);
  }

  private String time(Given given) {
    String format = Values.text(given.bind("strftime_now", 1, "format")[0], "format");
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < format.length(); i++) {
      char c = format.charAt(i);
      if (c != '%') {
        out.append(c);
        continue;
      }
      char kind = ++i < format.length() ? format.charAt(i) : 0;
      String pattern = DATE_PATTERNS.get(kind);
      if (kind != '%' && pattern == null) {
        throw new TemplateException("strftime_now: '%" + kind + "' is not rendered here");
      }
      out.append(
          kind == '%' ? "%" : DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH).format(now));
    }
    return meter.text(out.toString());
  }
}
