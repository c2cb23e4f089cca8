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
 * @param missing why it can't be run; empty where it can
 */
record Part(
    String group,
    String name,
    Kind kind,
    List<String> command,
    Map<String, String> environment,
    Time time,
    String missing) {

  /** In the name of a part of some classes of tests: behind it stands of which. */
  static final String SOME = " of ";

  /** What a part prints. */
  enum Kind {
    /**
     * {@link Items}: JSON objects, a line each, among other lines. What is done is kept when the
     * process ends, for whatever reason, and only the rest is run again.
     */
    ITEMS,
    /** One JSON object; cut off, it starts from the beginning. */
    OBJECT
  }

  /**
   * @param expected from start to end, until an earlier run says better
   * @param item after which an item of {@link Kind#ITEMS} is taken for hung and its process ended
   * @param limit of all its processes in all calls together, after which the part has failed
   */
  record Time(Duration expected, Duration item, Duration limit) {
    static Time seconds(int expected, int item, int limit) {
      return new Time(
          Duration.ofSeconds(expected), Duration.ofSeconds(item), Duration.ofSeconds(limit));
    }
  }

  static Part of(
      String group,
      String name,
      Kind kind,
      List<String> command,
      Map<String, String> environment,
      Time time) {
    return new Part(group, name, kind, List.copyOf(command), environment, time, "");
  }

  static Part missing(String group, String name, Kind kind, String why) {
    return new Part(group, name, kind, List.of(), Map.of(), Time.seconds(0, 0, 0), why);
  }

  String id() {
    return group + "." + name;
  }

  /** Classes of tests in one process. */
  boolean ofTests() {
    return group.equals("instructions") || group.equals("tests");
  }

  /** Only some of the classes. */
  boolean ofSomeTests() {
    return ofTests() && name.contains(SOME);
  }
}
