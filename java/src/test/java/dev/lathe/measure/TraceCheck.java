package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/** Parses a trace as a viewer does, and says what a viewer would stumble over. */
public final class TraceCheck {
  /** Times in the file are microseconds with three digits. */
  private static final double ROUNDING = 1e-3;

  /** Events of each track, by {@code "process / track"}. */
  public final Map<String, List<JsonNode>> tracks = new LinkedHashMap<>();

  public final JsonNode metadata;

  public TraceCheck(byte[] json) {
    JsonNode trace = RunJson.mapper().readTree(new String(json, StandardCharsets.UTF_8));
    metadata = trace.get("metadata");
    Map<Integer, String> processes = new LinkedHashMap<>();
    Map<List<Integer>, String> names = new LinkedHashMap<>();
    for (JsonNode event : trace.get("traceEvents")) {
      int pid = event.get("pid").intValue();
      int tid = event.get("tid").intValue();
      assertThat(event.get("name").stringValue()).isNotBlank();
      switch (event.get("ph").stringValue()) {
        case "M" -> {
          String name = event.get("args").get("name").stringValue();
          if (event.get("name").stringValue().equals("process_name")) {
            assertThat(processes.put(pid, name)).isNull();
          } else {
            assertThat(event.get("name").stringValue()).isEqualTo("thread_name");
            names.put(List.of(pid, tid), processes.get(pid) + " / " + name);
            tracks.put(names.get(List.of(pid, tid)), new ArrayList<>());
          }
        }
        case "X" -> tracks.get(names.get(List.of(pid, tid))).add(event);
        default -> throw new AssertionError("an event of no known kind: " + event);
      }
    }
    tracks.forEach(TraceCheck::requireNested);
  }

  /** In the order in which they began; of two, one holds the other or they don't overlap. */
  static void requireNested(String track, List<JsonNode> events) {
    Deque<Double> ends = new ArrayDeque<>();
    double last = 0;
    for (JsonNode event : events) {
      double start = event.get("ts").asDouble();
      double duration = event.get("dur").asDouble();
      assertThat(duration).as("%s: duration of %s", track, event).isNotNegative();
      assertThat(start).as("%s: order of %s", track, event).isGreaterThanOrEqualTo(last);
      last = start;
      while (!ends.isEmpty() && ends.peek() <= start + ROUNDING) {
        ends.pop();
      }
      if (!ends.isEmpty()) {
        assertThat(start + duration)
            .as("%s: the end of %s lies in what it began in", track, event)
            .isLessThanOrEqualTo(ends.peek() + ROUNDING);
      }
      ends.push(start + duration);
    }
  }

  /** The one track whose name holds both. */
  public List<JsonNode> track(String process, String name) {
    List<List<JsonNode>> found =
        tracks.entrySet().stream()
            .filter(e -> e.getKey().contains(process) && e.getKey().contains(" / " + name))
            .map(Map.Entry::getValue)
            .toList();
    assertThat(found).as("tracks %s of %s in %s", name, process, tracks.keySet()).hasSize(1);
    return found.getFirst();
  }

  static List<String> names(List<JsonNode> events) {
    return events.stream().map(event -> event.get("name").stringValue()).toList();
  }
}
