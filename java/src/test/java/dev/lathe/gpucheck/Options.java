package dev.lathe.gpucheck;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What {@code scripts/gpu-check} was asked for.
 *
 * @param budget how long this call may take; empty: as long as it takes
 * @param only groups or parts; empty: all
 * @param tests which classes of tests, by their names; empty: all
 * @param again parts that failed or were missing again
 * @param fresh everything again
 */
record Options(
    Optional<Duration> budget,
    Set<String> only,
    Optional<Pattern> tests,
    boolean sanitize,
    boolean again,
    boolean fresh,
    boolean emulated,
    Path work,
    Path out) {

  static final List<String> GROUPS =
      List.of("device", "instructions", "tests", "bench", "models", "peers", "sanitize");

  static Options parse(List<String> arguments, Path root) {
    Optional<Duration> budget = Optional.empty();
    Set<String> only = new TreeSet<>();
    Optional<Pattern> tests = Optional.empty();
    boolean sanitize = false;
    boolean again = false;
    boolean fresh = false;
    boolean emulated = false;
    Path work = root.resolve("java/target/gpu-check");
    Path out = root.resolve("docs/results");
    for (int i = 0; i < arguments.size(); i++) {
      String name = arguments.get(i);
      switch (name) {
        case "--minutes" -> budget = Optional.of(minutes(value(arguments, ++i, name)));
        case "--only" -> only.addAll(Arrays.asList(value(arguments, ++i, name).split(",")));
        case "--tests" -> tests = Optional.of(pattern(value(arguments, ++i, name)));
        case "--sanitize" -> sanitize = true;
        case "--again" -> again = true;
        case "--fresh" -> fresh = true;
        case "--emulated" -> emulated = true;
        case "--work" -> work = Path.of(value(arguments, ++i, name));
        case "--out" -> out = Path.of(value(arguments, ++i, name));
        default -> throw new InvalidInputException("gpu-check has no option " + name + "; --help");
      }
    }
    for (String group : only) {
      if (!GROUPS.contains(group.replaceAll("\\..*", ""))) {
        throw new InvalidInputException(
            "--only " + group + " is none of " + String.join(", ", GROUPS));
      }
    }
    sanitize |= only.stream().anyMatch(group -> group.startsWith("sanitize"));
    return new Options(
        budget,
        only,
        tests,
        sanitize,
        again,
        fresh,
        emulated,
        work.toAbsolutePath(),
        out.toAbsolutePath());
  }

  /**
   * @param parts all that there are
   * @throws InvalidInputException if a part was asked for that is none of them
   */
  void check(List<String> parts) {
    for (String name : only) {
      if (!GROUPS.contains(name) && !parts.contains(name)) {
        throw new InvalidInputException(
            "--only %s is no part; there are %s".formatted(name, String.join(", ", parts)));
      }
    }
  }

  /** Whether this call is to run it. */
  boolean wants(Part part) {
    boolean chosen =
        only.isEmpty()
            ? !part.group().equals("sanitize") || sanitize
            : only.contains(part.group()) || only.contains(part.id());
    // All classes in one process, and some of them, are two parts: one is no proof of the other.
    return chosen && part.ofSomeTests() == (tests.isPresent() && part.ofTests());
  }

  boolean wantsTest(String className) {
    return tests.map(pattern -> pattern.matcher(className).find()).orElse(true);
  }

  private static Pattern pattern(String text) {
    try {
      return Pattern.compile(text);
    } catch (PatternSyntaxException e) {
      throw new InvalidInputException("--tests " + text + " is no regular expression", e);
    }
  }

  private static String value(List<String> arguments, int index, String name) {
    if (index >= arguments.size()) {
      throw new InvalidInputException(name + " needs a value");
    }
    return arguments.get(index);
  }

  private static Duration minutes(String text) {
    try {
      double minutes = Double.parseDouble(text);
      if (minutes > 0 && minutes < 1e6) {
        return Duration.ofMillis(Math.round(minutes * 60_000));
      }
    } catch (NumberFormatException e) {
      throw new InvalidInputException("--minutes " + text + " is not a number", e);
    }
    throw new InvalidInputException("--minutes " + text + " is not a positive number");
  }
}
