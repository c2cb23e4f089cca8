package dev.lathe.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;

/**
 * What docs/coverage.md claims: rows {@code | number | what | by | test |}. Names stand in
 * backticks: {@code lathe VERB --option}, a class, {@code Class.method}, or a file of the project
 * with a slash.
 */
final class CoverageDocument {
  /** Numbers of the checklist. */
  static final int LAST = 169;

  private static final Pattern ROW =
      Pattern.compile("\\| (\\d+) \\| (.+?) \\| (.*?) ?\\| (.*?) ?\\|");
  private static final Pattern NAME = Pattern.compile("`([^`]+)`");
  private static final String NOT_YET = "not yet";

  private final Path root;
  private final Map<String, Path> mainSources;
  private final Map<String, Path> testSources;

  CoverageDocument(Path root) throws IOException {
    this.root = root;
    this.mainSources = sources(root.resolve("java/src/main/java"));
    this.testSources = sources(root.resolve("java/src/test/java"));
  }

  private static Map<String, Path> sources(Path folder) throws IOException {
    Map<String, Path> found = new HashMap<>();
    try (Stream<Path> files = Files.walk(folder)) {
      files
          .filter(file -> file.toString().endsWith(".java"))
          .forEach(
              file -> found.put(file.getFileName().toString().replaceFirst("\\.java$", ""), file));
    }
    return found;
  }

  /** Everything in the lines that is not so. */
  List<String> problems(List<String> lines) throws IOException {
    List<String> problems = new ArrayList<>();
    int expected = 1;
    for (String line : lines) {
      Matcher row = ROW.matcher(line);
      if (!row.matches()) {
        continue;
      }
      int number = Integer.parseInt(row.group(1));
      if (number != expected) {
        problems.add("row %d stands where %d should".formatted(number, expected));
      }
      expected = number + 1;
      String by = row.group(3);
      String test = row.group(4);
      if (by.startsWith(NOT_YET)) {
        if (!test.isEmpty()) {
          problems.add("row %d is not yet there but names a test".formatted(number));
        }
        continue;
      }
      check(number, by, mainSources, problems);
      check(number, test, testSources, problems);
    }
    if (expected != LAST + 1) {
      problems.add("the last row is %d, not %d".formatted(expected - 1, LAST));
    }
    return problems;
  }

  private void check(int row, String cell, Map<String, Path> sources, List<String> problems)
      throws IOException {
    Matcher names = NAME.matcher(cell);
    int count = 0;
    while (names.find()) {
      count++;
      String name = names.group(1);
      if (!exists(name, sources)) {
        problems.add("row %d names `%s`, which does not exist".formatted(row, name));
      }
    }
    if (count == 0) {
      problems.add("row %d names nothing in '%s'".formatted(row, cell));
    }
  }

  private boolean exists(String name, Map<String, Path> sources) throws IOException {
    if (name.startsWith("lathe ")) {
      return isCommand(List.of(name.split(" ")));
    }
    if (name.contains("/")) {
      return Files.exists(root.resolve(name));
    }
    String[] parts = name.split("\\.", 2);
    Path source = sources.get(parts[0]);
    return source != null && (parts.length == 1 || declares(Files.readString(source), parts[1]));
  }

  /** A method or a nested type of that name. */
  private static boolean declares(String source, String member) {
    String name = Pattern.quote(member);
    return Pattern.compile("\\b" + name + "\\(|\\b(class|record|enum|interface) " + name + "\\b")
        .matcher(source)
        .find();
  }

  private static boolean isCommand(List<String> words) {
    CommandSpec verbs =
        new CommandLine(new Lathe(new Console(System.out, System.err))).getCommandSpec();
    CommandLine verb = verbs.subcommands().get(words.get(1));
    return verb != null
        && words.stream()
            .skip(2)
            .allMatch(option -> verb.getCommandSpec().optionsMap().containsKey(option));
  }
}
