package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Values.Given;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.IntPredicate;

/** The methods of {@code str} that chat templates call; the others are refused by name. */
final class StringMethods {
  private static final Set<String> REFUSED =
      Set.of(
          "casefold",
          "center",
          "encode",
          "expandtabs",
          "format",
          "format_map",
          "isdecimal",
          "isidentifier",
          "isnumeric",
          "isprintable",
          "istitle",
          "ljust",
          "maketrans",
          "rjust",
          "swapcase",
          "translate",
          "zfill");

  private final String text;
  private final Meter meter;

  private StringMethods(String text, Meter meter) {
    this.text = text;
    this.meter = meter;
  }

  /** Null where {@code str} has no method of that name. */
  static Function find(String text, String name, Meter meter) {
    if (REFUSED.contains(name)) {
      throw new TemplateException("str.%s is not rendered here".formatted(name));
    }
    StringMethods of = new StringMethods(text, meter);
    Function method =
        switch (name) {
          case "upper" -> of.plain(name, () -> text.toUpperCase(Locale.ROOT));
          case "lower" -> of.plain(name, () -> text.toLowerCase(Locale.ROOT));
          case "capitalize" -> of.plain(name, () -> capitalize(text));
          case "title" -> of.plain(name, () -> title(text));
          case "isspace" -> of.plain(name, () -> of.all(PythonText::isSpace));
          case "isdigit" -> of.plain(name, () -> of.all(Character::isDigit));
          case "isalpha" -> of.plain(name, () -> of.all(Character::isLetter));
          case "isalnum" -> of.plain(name, () -> of.all(Character::isLetterOrDigit));
          case "isascii" -> of.plain(name, () -> text.chars().allMatch(c -> c < 128));
          case "isupper" -> of.plain(name, () -> isUpper(text));
          case "islower" -> of.plain(name, () -> isLower(text));
          case "strip" -> given -> of.strip(given, name, true, true);
          case "lstrip" -> given -> of.strip(given, name, true, false);
          case "rstrip" -> given -> of.strip(given, name, false, true);
          case "startswith" -> given -> of.affix(given, name, String::startsWith);
          case "endswith" -> given -> of.affix(given, name, String::endsWith);
          case "removeprefix" -> of::removePrefix;
          case "removesuffix" -> of::removeSuffix;
          case "split" -> given -> of.split(given, false);
          case "rsplit" -> given -> of.split(given, true);
          case "splitlines" -> of.plain(name, () -> new ArrayList<Object>(lines(text)));
          case "partition" -> given -> of.partition(given, text::indexOf, true);
          case "rpartition" -> given -> of.partition(given, text::lastIndexOf, false);
          case "replace" -> of::replace;
          case "join" -> of::join;
          case "find" -> given -> of.find(given, name, text::indexOf);
          case "rfind" -> given -> of.find(given, name, text::lastIndexOf);
          case "index" -> given -> of.present(of.find(given, name, text::indexOf));
          case "rindex" -> given -> of.present(of.find(given, name, text::lastIndexOf));
          case "count" -> of::count;
          default -> null;
        };
    return method == null
        ? null
        : given -> {
          meter.characters(text.length());
          Object result = method.call(given);
          return result instanceof String made ? meter.text(made) : result;
        };
  }

  private Function plain(String name, java.util.function.Supplier<Object> method) {
    return given -> {
      given.bind(name, 0);
      return method.get();
    };
  }

  private boolean all(IntPredicate test) {
    return !text.isEmpty() && text.codePoints().allMatch(test);
  }

  static boolean isUpper(String text) {
    return text.codePoints().anyMatch(c -> Character.isUpperCase(c) || Character.isTitleCase(c))
        && text.codePoints().noneMatch(c -> Character.isLowerCase(c) || Character.isTitleCase(c));
  }

  static boolean isLower(String text) {
    return text.codePoints().anyMatch(Character::isLowerCase)
        && text.codePoints().noneMatch(c -> Character.isUpperCase(c) || Character.isTitleCase(c));
  }

  static String capitalize(String text) {
    if (text.isEmpty()) {
      return text;
    }
    int end = text.offsetByCodePoints(0, 1);
    return Character.toString(Character.toTitleCase(text.codePointAt(0)))
        + text.substring(end).toLowerCase(Locale.ROOT);
  }

  /** A letter behind a letter is small, any other large. */
  private static String title(String text) {
    StringBuilder out = new StringBuilder();
    boolean[] behindLetter = new boolean[1];
    text.codePoints()
        .forEach(c -> {
          out.appendCodePoint(
              behindLetter[0] ? Character.toLowerCase(c) : Character.toTitleCase(c));
          behindLetter[0] =
              Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c);
        });
    return out.toString();
  }

  private String strip(Given given, String name, boolean left, boolean right) {
    Object characters = given.bind(name, 0, "chars")[0];
    return strip(
        text,
        Given.isAbsent(characters) || characters == null ? null : Values.text(characters, "chars"),
        left,
        right);
  }

  /**
   * @param characters which are dropped; null for all spaces
   */
  static String strip(String text, String characters, boolean left, boolean right) {
    IntPredicate dropped =
        characters == null ? PythonText::isSpace : c -> characters.indexOf(c) >= 0;
    int from = 0;
    int to = text.length();
    while (left && from < to && dropped.test(text.codePointAt(from))) {
      from = text.offsetByCodePoints(from, 1);
    }
    while (right && from < to && dropped.test(text.codePointBefore(to))) {
      to = text.offsetByCodePoints(to, -1);
    }
    return text.substring(from, to);
  }

  private boolean affix(
      Given given, String name, java.util.function.BiPredicate<String, String> test) {
    Object wanted = given.bind(name, 1, "prefix")[0];
    if (wanted instanceof Tuple(List<Object> several)) {
      meter.steps(several.size());
      return several.stream().anyMatch(one -> test.test(text, Values.text(one, "a prefix")));
    }
    return test.test(text, Values.text(wanted, "what a str begins or ends with"));
  }

  private String removePrefix(Given given) {
    String prefix = Values.text(given.bind("removeprefix", 1, "prefix")[0], "prefix");
    return text.startsWith(prefix) ? text.substring(prefix.length()) : text;
  }

  private String removeSuffix(Given given) {
    String suffix = Values.text(given.bind("removesuffix", 1, "suffix")[0], "suffix");
    return text.endsWith(suffix) ? text.substring(0, text.length() - suffix.length()) : text;
  }

  private List<Object> split(Given given, boolean fromRight) {
    Object[] bound = given.bind(fromRight ? "rsplit" : "split", 0, "sep", "maxsplit");
    int most = Given.isAbsent(bound[1]) ? -1 : Values.integer(bound[1], "maxsplit");
    int left = most < 0 ? Integer.MAX_VALUE : most;
    boolean spaces = Given.isAbsent(bound[0]) || bound[0] == null;
    List<Object> parts =
        spaces
            ? fromRight ? splitSpacesFromRight(left) : splitSpaces(left)
            : splitAt(Values.text(bound[0], "sep"), left, fromRight);
    meter.steps(parts.size());
    return parts;
  }

  private List<Object> splitAt(String separator, int splits, boolean fromRight) {
    if (separator.isEmpty()) {
      throw new TemplateException("splits at an empty str");
    }
    int left = splits;
    List<Object> parts = new ArrayList<>();
    int from = 0;
    int to = text.length();
    while (left-- > 0) {
      int at =
          fromRight
              ? text.lastIndexOf(separator, to - separator.length())
              : text.indexOf(separator, from);
      if (at < 0 || (fromRight && to < separator.length())) {
        break;
      }
      if (fromRight) {
        parts.addFirst(text.substring(at + separator.length(), to));
        to = at;
      } else {
        parts.add(text.substring(from, at));
        from = at + separator.length();
      }
    }
    if (fromRight) {
      parts.addFirst(text.substring(0, to));
    } else {
      parts.add(text.substring(from));
    }
    return parts;
  }

  private List<Object> splitSpaces(int splits) {
    int left = splits;
    List<Object> parts = new ArrayList<>();
    String rest = PythonText.stripLeft(text);
    while (!rest.isEmpty()) {
      int end = 0;
      while (end < rest.length() && !PythonText.isSpace(rest.charAt(end))) {
        end++;
      }
      if (left-- == 0) {
        parts.add(rest);
        return parts;
      }
      parts.add(rest.substring(0, end));
      meter.characters(rest.length());
      rest = PythonText.stripLeft(rest.substring(end));
    }
    return parts;
  }

  private List<Object> splitSpacesFromRight(int splits) {
    int left = splits;
    List<Object> parts = new ArrayList<>();
    String rest = PythonText.stripRight(text);
    while (!rest.isEmpty()) {
      int begin = rest.length();
      while (begin > 0 && !PythonText.isSpace(rest.charAt(begin - 1))) {
        begin--;
      }
      if (left-- == 0) {
        parts.addFirst(rest);
        return parts;
      }
      parts.addFirst(rest.substring(begin));
      meter.characters(rest.length());
      rest = PythonText.stripRight(rest.substring(0, begin));
    }
    return parts;
  }

  /** {@code splitlines()}: every kind of line end, none of them kept. */
  static List<String> lines(String text) {
    List<String> lines = new ArrayList<>();
    int from = 0;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      boolean end =
          (c >= 0x0a && c <= 0x0d)
              || (c >= 0x1c && c <= 0x1e)
              || c == 0x85
              || c == 0x2028
              || c == 0x2029;
      if (end) {
        lines.add(text.substring(from, i));
        i += c == '\r' && i + 1 < text.length() && text.charAt(i + 1) == '\n' ? 1 : 0;
        from = i + 1;
      }
    }
    if (from < text.length()) {
      lines.add(text.substring(from));
    }
    return lines;
  }

  private Tuple partition(
      Given given, java.util.function.ToIntFunction<String> search, boolean first) {
    String separator = Values.text(given.bind("partition", 1, "sep")[0], "sep");
    if (separator.isEmpty()) {
      throw new TemplateException("splits at an empty str");
    }
    int at = search.applyAsInt(separator);
    if (at < 0) {
      return first ? Tuple.of(text, "", "") : Tuple.of("", "", text);
    }
    return Tuple.of(text.substring(0, at), separator, text.substring(at + separator.length()));
  }

  private String replace(Given given) {
    Object[] bound = given.bind("replace", 2, "old", "new", "count");
    int most = Given.isAbsent(bound[2]) ? -1 : Values.integer(bound[2], "count");
    return replace(text, Values.text(bound[0], "old"), Values.text(bound[1], "new"), most, meter);
  }

  /**
   * @param most how many are replaced; below 0 for all
   */
  static String replace(String text, String old, String by, int most, Meter meter) {
    StringBuilder out = new StringBuilder();
    int from = 0;
    int left = most < 0 ? Integer.MAX_VALUE : most;
    while (left-- > 0) {
      int at = old.isEmpty() && from > text.length() ? -1 : text.indexOf(old, from);
      if (at < 0) {
        break;
      }
      meter.characters(
          (long) out.length() + by.length() > Meter.MOST_CHARACTERS
              ? Meter.MOST_CHARACTERS + 1L
              : by.length());
      if (old.isEmpty()) {
        out.append(by);
        if (from < text.length()) {
          int end = text.offsetByCodePoints(from, 1);
          out.append(text, from, end);
          from = end;
        } else {
          from++;
        }
      } else {
        out.append(text, from, at).append(by);
        from = at + old.length();
      }
    }
    if (from < text.length()) {
      out.append(text, from, text.length());
    }
    return meter.text(out.toString());
  }

  private String join(Given given) {
    List<?> items = Values.iterate(given.bind("join", 1, "iterable")[0], meter);
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < items.size(); i++) {
      String item = Values.text(items.get(i), "what is joined");
      meter.characters(
          (long) out.length() + item.length() > Meter.MOST_CHARACTERS
              ? Meter.MOST_CHARACTERS + 1L
              : item.length() + text.length());
      out.append(i == 0 ? "" : text).append(item);
    }
    return out.toString();
  }

  private long find(Given given, String name, java.util.function.ToIntFunction<String> search) {
    String wanted = Values.text(given.bind(name, 1, "sub")[0], "sub");
    int at = search.applyAsInt(wanted);
    return at < 0 ? -1 : text.codePointCount(0, at);
  }

  private long present(long place) {
    if (place < 0) {
      throw new TemplateException("what is looked for in a str is not there");
    }
    return place;
  }

  private long count(Given given) {
    String wanted = Values.text(given.bind("count", 1, "sub")[0], "sub");
    if (wanted.isEmpty()) {
      return PythonText.length(text) + 1L;
    }
    long count = 0;
    for (int at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length())) {
      count++;
    }
    return count;
  }
}
