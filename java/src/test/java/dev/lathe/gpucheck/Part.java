package dev.lathe.gpucheck;

import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * One thing to run in a process of its own, so that a crash, a hang or a GPU's sticky error costs
 * no more than itself.
 *
 * @param group what {@code --only} chooses by
 * @param name unique in its group
 * @param kind how to read what it printed
 * @param command empty where it can't be run: {@code missing} says why
 * @param environment beyond this process's own
 * @param limit after which it is ended, and has failed
 * @param missing why it can't be run; empty where it can
 */
record Part(
    String group,
    String name,
    Kind kind,
    List<String> command,
    Map<String, String> environment,
    Duration limit,
    String missing) {

  /** What a part prints. */
  enum Kind {
    /** JUnit's reports, in a folder; each has to hold a test that ran. */
    TESTS,
    /** JSON objects, a line each, among other lines; there has to be one. */
    LINES,
    /** One JSON object. */
    OBJECT
  }

  static Part of(
      String group,
      String name,
      Kind kind,
      List<String> command,
      Map<String, String> environment,
      Duration limit) {
    return new Part(group, name, kind, List.copyOf(command), environment, limit, "");
  }

  static Part missing(String group, String name, Kind kind, String why) {
    return new Part(group, name, kind, List.of(), Map.of(), Duration.ZERO, why);
  }

  String id() {
    return group + "." + name;
  }
}
