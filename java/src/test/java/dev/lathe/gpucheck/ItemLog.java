package dev.lathe.gpucheck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The items of a part that are done, in a file that only grows: a line each, with its rows, written
 * when it ended. Whatever ends a check, power included, costs the item that was running.
 */
final class ItemLog {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  /** What a class may cost before the rest of it is given up: a hang is dear, a crash is not. */
  private static final int HANG_COST = 3;

  private static final int MOST_COST = 6;

  private final Path file;
  private final Map<String, ObjectNode> items = new LinkedHashMap<>();
  private final List<JsonNode> remarks = new ArrayList<>();
  private final Map<String, Integer> costs = new HashMap<>();
  private final Map<String, Integer> cuts = new HashMap<>();
  private double seconds;

  ItemLog(Path file) throws IOException {
    this.file = file;
    if (Files.exists(file)) {
      for (String line : Files.readAllLines(file)) {
        parse(line).ifPresent(this::apply);
      }
    }
  }

  /** Empty for the line that was being written when the machine went: its item is run again. */
  private static Optional<ObjectNode> parse(String line) {
    try {
      return JSON.readTree(line) instanceof ObjectNode object
          ? Optional.of(object)
          : Optional.empty();
    } catch (JacksonException e) {
      return Optional.empty();
    }
  }

  private void apply(ObjectNode line) {
    if (line.has("item")) {
      items.put(line.get("item").stringValue(), line);
    } else if (line.has("remark")) {
      remarks.add(line.get("remark"));
    } else if (line.has("cut")) {
      cuts.merge(line.get("cut").stringValue(), 1, Integer::sum);
    } else if (line.has("cost")) {
      costs.merge(line.get("class").stringValue(), line.get("cost").intValue(), Integer::sum);
    } else if (line.has("again")) {
      items.remove(line.get("again").stringValue());
    }
    seconds += line.path("process_seconds").asDouble(0);
  }

  private void append(ObjectNode line) throws IOException {
    apply(line);
    Files.writeString(file, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  void remark(JsonNode remark) throws IOException {
    append(JSON.createObjectNode().set("remark", remark));
  }

  /**
   * @param end what the process said of it: {@code failed}, {@code tests}
   */
  void ended(String key, JsonNode end, List<JsonNode> rows, double itemSeconds) throws IOException {
    ObjectNode line = JSON.createObjectNode().put("item", key).put("seconds", itemSeconds);
    for (String name : List.of("failed", "tests")) {
      if (end.has(name)) {
        line.set(name, end.get(name));
      }
    }
    ArrayNode list = line.putArray("rows");
    rows.forEach(list::add);
    append(line);
  }

  /** The item with which a process hung or crashed: it has failed, with the rows that it has. */
  void gaveUp(String key, String why, boolean hung, List<JsonNode> rows, double itemSeconds)
      throws IOException {
    ended(key, JSON.createObjectNode().put("failed", why), rows, itemSeconds);
    cost(key, hung ? HANG_COST : 1);
  }

  /** A process that has to be started again because of this item. */
  void cost(String key, int cost) throws IOException {
    int method = key.indexOf('#');
    if (method < 0) {
      return;
    }
    String owner = key.substring(0, method);
    append(JSON.createObjectNode().put("class", owner).put("cost", cost));
    String rest = owner + "#*";
    if (costs.get(owner) >= MOST_COST && !items.containsKey(rest)) {
      ended(
          rest,
          JSON.createObjectNode()
              .put("failed", "the rest of it was not run: its processes crashed or hung too often"),
          List.of(),
          0);
    }
  }

  /**
   * The end of a call came while this ran.
   *
   * @return how often that is now
   */
  int cut(String key) throws IOException {
    append(JSON.createObjectNode().put("cut", key));
    return cuts.get(key);
  }

  void spent(double processSeconds) throws IOException {
    append(JSON.createObjectNode().put("process_seconds", processSeconds));
  }

  /** What failed is to be run again. */
  void forgetFailures() throws IOException {
    for (String key : failures().keySet()) {
      append(JSON.createObjectNode().put("again", key));
    }
    costs.clear();
  }

  boolean isEmpty() {
    return items.isEmpty();
  }

  Set<String> done() {
    return new TreeSet<>(items.keySet());
  }

  double seconds() {
    return seconds;
  }

  /** Remarks, then the rows of all items. */
  ArrayNode rows() {
    ArrayNode rows = JSON.createArrayNode();
    remarks.stream().distinct().forEach(rows::add);
    items.values().forEach(item -> item.get("rows").forEach(rows::add));
    return rows;
  }

  /** Why each item failed that did. */
  Map<String, String> failures() {
    Map<String, String> failures = new LinkedHashMap<>();
    items.forEach((key, item) -> {
      if (item.has("failed")) {
        failures.put(key, item.get("failed").stringValue());
      }
    });
    return failures;
  }

  /** Counts over all items that are tests; without {@code run} where there is none. */
  ObjectNode tests() {
    ObjectNode tests = JSON.createObjectNode();
    ObjectNode reasons = JSON.createObjectNode();
    boolean any = false;
    int run = 0;
    int failed = 0;
    int skipped = 0;
    for (ObjectNode item : items.values()) {
      JsonNode counts = item.path("tests");
      any |= counts.isObject() || item.get("item").stringValue().contains("#");
      run += counts.path("run").asInt(0);
      // A test that took its process along has no counts of its own.
      failed += counts.isObject() ? counts.path("failed").asInt(0) : item.has("failed") ? 1 : 0;
      skipped += counts.path("skipped").asInt(0);
      counts
          .path("skipped_because")
          .properties()
          .forEach(reason ->
              reasons.put(
                  reason.getKey(),
                  reasons.path(reason.getKey()).asInt(0) + reason.getValue().asInt()));
    }
    if (any) {
      tests.put("run", run);
      tests.put("failed", failed);
      tests.put("skipped", skipped);
      tests.set("skipped_because", reasons);
      ObjectNode failures = tests.putObject("failures");
      failures().forEach(failures::put);
    }
    return tests;
  }
}
