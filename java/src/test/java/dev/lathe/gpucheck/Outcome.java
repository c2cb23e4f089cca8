package dev.lathe.gpucheck;

import java.util.Locale;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * How a part ended.
 *
 * @param seconds of all its processes
 * @param note what went wrong, in one line; empty where nothing did
 * @param tail the end of what a part printed that failed
 * @param data what it measured, as it printed it: raw samples
 * @param tests how many tests ran, failed and were skipped, and why
 * @param sensors the GPU's, before and after
 */
record Outcome(
    String id,
    Status status,
    double seconds,
    String note,
    String tail,
    ArrayNode data,
    ObjectNode tests,
    ObjectNode sensors,
    String command) {

  enum Status {
    PASSED,
    FAILED,
    /** It was ended at its limit. */
    TIMED_OUT,
    /** It can't be run here: something isn't installed, or doesn't exist yet. */
    MISSING,
    /** The call ended before it did: the next one goes on. */
    UNFINISHED;

    String text() {
      return name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
  }

  /** Whether an outcome has to be looked at: neither passed nor to be gone on with. */
  boolean bad() {
    return status != Status.PASSED && status != Status.UNFINISHED;
  }

  static Outcome missing(Part part, String why) {
    return plain(part, Status.MISSING, 0, why, "");
  }

  /** Without anything measured. */
  static Outcome plain(Part part, Status status, double seconds, String note, String tail) {
    return new Outcome(
        part.id(),
        status,
        seconds,
        note,
        tail,
        JsonNodeFactory.instance.arrayNode(),
        JsonNodeFactory.instance.objectNode(),
        JsonNodeFactory.instance.objectNode(),
        String.join(" ", part.command()));
  }

  Outcome with(ArrayNode measured, ObjectNode counted) {
    return new Outcome(id, status, seconds, note, tail, measured, counted, sensors, command);
  }

  Outcome withSensors(ObjectNode readings) {
    return new Outcome(id, status, seconds, note, tail, data, tests, readings, command);
  }

  /** Without the class path, which says nothing and is long. */
  Outcome withCommand(String text) {
    return new Outcome(id, status, seconds, note, tail, data, tests, sensors, text);
  }

  ObjectNode json() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("part", id);
    json.put("status", status.name());
    json.put("seconds", seconds);
    json.put("note", note);
    json.put("command", command);
    json.set("tests", tests);
    json.set("sensors", sensors);
    json.set("data", data);
    json.put("tail", tail);
    return json;
  }

  static Outcome of(JsonNode json) {
    return new Outcome(
        json.get("part").stringValue(),
        Status.valueOf(json.get("status").stringValue()),
        json.get("seconds").doubleValue(),
        json.get("note").stringValue(),
        json.get("tail").stringValue(),
        (ArrayNode) json.get("data"),
        (ObjectNode) json.get("tests"),
        (ObjectNode) json.get("sensors"),
        json.get("command").stringValue());
  }
}
