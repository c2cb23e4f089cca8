package dev.lathe.measure;

import dev.lathe.measure.Timeline.Group;
import dev.lathe.measure.Timeline.Slice;
import dev.lathe.measure.Timeline.Track;
import dev.lathe.measure.TimingBackend.Event;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code trace.json} in the Chrome trace event format, which Perfetto (ui.perfetto.dev) opens:
 * complete events ("ph": "X"), microseconds from the first.
 */
public final class Trace {
  /** The first tokens show the pattern; a whole generation would be a file of many megabytes. */
  private static final int MOST_EVENTS = 5000;

  /** Of a track: a viewer opens some ten megabytes at once. */
  private static final int MOST_SLICES = 50_000;

  private Trace() {}

  /**
   * Timed operations, one after another.
   *
   * @param events in the order in which they started
   * @param what was traced, the name of the process in the viewer
   */
  public static byte[] json(List<Event> events, String what) {
    List<Slice> slices =
        events.subList(0, Math.min(MOST_EVENTS, events.size())).stream().map(Trace::slice).toList();
    return json(List.of(new Group(what, List.of(new Track("operations", slices)))), Map.of());
  }

  private static Slice slice(Event event) {
    return new Slice(
        event.name(),
        event.layer() < 0 ? "model" : "layer " + event.layer(),
        event.startNanos(),
        event.nanos(),
        Map.of(
            "layer", event.layer(),
            "flops", event.flops(),
            "bytes", event.bytes(),
            "gbs", event.nanos() == 0 ? 0 : (double) event.bytes() / event.nanos(),
            "gflops", event.nanos() == 0 ? 0 : (double) event.flops() / event.nanos()));
  }

  /**
   * Tracks on one clock; of each the first {@value #MOST_SLICES} slices, and how many there were.
   *
   * @param notes that the file keeps beside its events
   */
  static byte[] json(List<Group> groups, Map<String, Object> notes) {
    ObjectNode trace = RunJson.mapper().createObjectNode().put("displayTimeUnit", "ns");
    trace.set("metadata", RunJson.mapper().valueToTree(notes));
    ArrayNode list = trace.putArray("traceEvents");
    long origin =
        groups.stream()
            .flatMap(group -> group.tracks().stream())
            .flatMap(track -> track.slices().stream().limit(1))
            .mapToLong(Slice::startNanos)
            .min()
            .orElse(0);
    for (int p = 0; p < groups.size(); p++) {
      Group group = groups.get(p);
      name(list, "process_name", p + 1, 1, group.name());
      for (int t = 0; t < group.tracks().size(); t++) {
        Track track = group.tracks().get(t);
        int all = track.slices().size();
        String cut = all > MOST_SLICES ? " (the first %d of %d)".formatted(MOST_SLICES, all) : "";
        name(list, "thread_name", p + 1, t + 1, track.name() + cut);
        for (Slice slice : track.slices().subList(0, Math.min(MOST_SLICES, all))) {
          ObjectNode event =
              list.addObject()
                  .put("name", slice.name())
                  .put("cat", slice.category())
                  .put("ph", "X")
                  .put("pid", p + 1)
                  .put("tid", t + 1)
                  .put("ts", (slice.startNanos() - origin) / 1e3)
                  .put("dur", slice.nanos() / 1e3);
          event.set("args", RunJson.mapper().valueToTree(slice.details()));
        }
      }
    }
    return RunJson.line(trace).getBytes(java.nio.charset.StandardCharsets.UTF_8);
  }

  private static void name(ArrayNode list, String kind, int pid, int tid, String name) {
    list.addObject()
        .put("name", kind)
        .put("ph", "M")
        .put("pid", pid)
        .put("tid", tid)
        .putObject("args")
        .put("name", name);
  }
}
