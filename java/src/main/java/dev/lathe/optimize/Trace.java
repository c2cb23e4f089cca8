package dev.lathe.optimize;

import dev.lathe.measure.RunJson;
import dev.lathe.measure.TimingBackend.Event;
import java.nio.charset.StandardCharsets;
import java.util.List;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Timed operations as a file that ui.perfetto.dev and chrome://tracing open: complete events of the
 * Trace Event Format, times in microseconds from the first one.
 */
final class Trace {
  /** The first tokens show the pattern; a whole generation would be a file of many megabytes. */
  private static final int MOST_EVENTS = 5000;

  private Trace() {}

  /**
   * @param what was traced, the name of the process in the viewer
   * @param events in the order in which they started
   */
  static byte[] of(String what, List<Event> events) {
    ObjectNode root = RunJson.mapper().createObjectNode();
    ArrayNode out = root.putArray("traceEvents");
    out.addObject()
        .put("name", "process_name")
        .put("ph", "M")
        .put("pid", 1)
        .putObject("args")
        .put("name", what);
    long origin = events.isEmpty() ? 0 : events.getFirst().startNanos();
    for (Event event : events.subList(0, Math.min(MOST_EVENTS, events.size()))) {
      ObjectNode args =
          out.addObject()
              .put("name", event.name())
              .put("ph", "X")
              .put("pid", 1)
              .put("tid", 1)
              .put("ts", (event.startNanos() - origin) / 1e3)
              .put("dur", event.nanos() / 1e3)
              .putObject("args");
      args.put("flops", event.flops()).put("bytes", event.bytes());
      if (event.layer() >= 0) {
        args.put("layer", event.layer());
      }
    }
    root.put("displayTimeUnit", "ns");
    return (RunJson.line(root) + "\n").getBytes(StandardCharsets.UTF_8);
  }
}
