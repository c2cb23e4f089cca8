package dev.lathe.measure;

import dev.lathe.measure.TimingBackend.Event;
import java.util.List;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Timed operations as {@code trace.json} in the Chrome trace event format, which Perfetto
 * (ui.perfetto.dev) opens: complete events ("ph": "X"), microseconds from the first.
 */
public final class Trace {
  /** The first tokens show the pattern; a whole generation would be a file of many megabytes. */
  private static final int MOST_EVENTS = 5000;

  private Trace() {}

  /**
   * @param events in the order in which they started
   * @param what was traced, the name of the process in the viewer
   */
  public static byte[] json(List<Event> events, String what) {
    ObjectNode trace = RunJson.mapper().createObjectNode().put("displayTimeUnit", "ns");
    ArrayNode list = trace.putArray("traceEvents");
    long origin = events.isEmpty() ? 0 : events.getFirst().startNanos();
    ObjectNode process = list.addObject();
    process.put("name", "process_name").put("ph", "M").put("pid", 1).put("tid", 1);
    process.putObject("args").put("name", what);
    for (Event event : events.subList(0, Math.min(MOST_EVENTS, events.size()))) {
      ObjectNode entry =
          list.addObject()
              .put("name", event.name())
              .put("cat", event.layer() < 0 ? "model" : "layer " + event.layer())
              .put("ph", "X")
              .put("pid", 1)
              .put("tid", 1)
              .put("ts", (event.startNanos() - origin) / 1e3)
              .put("dur", event.nanos() / 1e3);
      entry
          .putObject("args")
          .put("layer", event.layer())
          .put("flops", event.flops())
          .put("bytes", event.bytes())
          .put("gbs", event.nanos() == 0 ? 0 : (double) event.bytes() / event.nanos())
          .put("gflops", event.nanos() == 0 ? 0 : (double) event.flops() / event.nanos());
    }
    return RunJson.file(trace);
  }
}
