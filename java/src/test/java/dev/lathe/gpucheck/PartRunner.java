package dev.lathe.gpucheck;

import dev.lathe.backend.cuda.Nvml;
import dev.lathe.backend.cuda.NvmlReading;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/** Runs a part, with the GPU's sensors read before and after. */
final class PartRunner {
  /** In a part's command, its own empty folder. */
  static final String SCRATCH = "{scratch}";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Store store;
  private final Optional<Nvml> sensors;

  PartRunner(Store store, Optional<Nvml> sensors) {
    this.store = store;
    this.sensors = sensors;
  }

  /**
   * @param deadline the end of this call
   * @param first whether this is the first part of the call: it has a whole call to itself, and
   *     what that doesn't suffice for would never end
   */
  Outcome run(Part part, Deadline deadline, boolean first)
      throws IOException, InterruptedException {
    if (!part.missing().isEmpty()) {
      return Outcome.missing(part, part.missing());
    }
    Path scratch = store.scratch(part);
    ObjectNode readings = JSON.createObjectNode();
    readings.set("before", reading());
    Outcome outcome =
        switch (part.kind()) {
          case ITEMS -> new ItemRunner(part, store.items(part), scratch, deadline).run();
          case OBJECT -> object(part, scratch, deadline, first);
        };
    readings.set("after", reading());
    return outcome.withSensors(readings).withCommand(commandLine(part));
  }

  private static Outcome object(Part part, Path scratch, Deadline deadline, boolean first)
      throws IOException, InterruptedException {
    StringBuilder out = new StringBuilder();
    try (PartProcess process = new PartProcess(part.command(), part.environment(), scratch)) {
      while (true) {
        Duration ofPart =
            part.time().limit().minus(Duration.ofMillis((long) (process.seconds() * 1e3)));
        Duration ofCall = deadline.left();
        boolean callEndsFirst = ofCall.compareTo(ofPart) < 0;
        PartProcess.Next next = process.next(callEndsFirst ? ofCall : ofPart);
        if (next.timedOut()) {
          boolean goesOn = callEndsFirst && !first;
          String note =
              goesOn
                  ? "cut off by the end of the call"
                  : callEndsFirst
                      ? "a whole call is too short for it"
                      : "ended after its limit of " + part.time().limit().toSeconds() + " s";
          return Outcome.plain(
              part,
              goesOn ? Outcome.Status.UNFINISHED : Outcome.Status.TIMED_OUT,
              process.seconds(),
              note,
              PartProcess.tail(process.errors()));
        }
        if (next.ended()) {
          int status = process.exitStatus(Duration.ofSeconds(10));
          return judge(part, status, process.seconds(), out.toString(), process.errors());
        }
        out.append(next.line()).append('\n');
      }
    } catch (IOException e) {
      return Outcome.missing(part, String.valueOf(e.getMessage()));
    }
  }

  private static Outcome judge(Part part, int status, double seconds, String out, String err) {
    Optional<JsonNode> object = read(out);
    String tail = PartProcess.tail(err.isBlank() ? out : err);
    Outcome outcome;
    if (status != 0) {
      String note = "exit status " + status + why(err);
      outcome = Outcome.plain(part, Outcome.Status.FAILED, seconds, note, tail);
    } else if (object.isEmpty()) {
      String note = "it printed no JSON object";
      outcome = Outcome.plain(part, Outcome.Status.FAILED, seconds, note, tail);
    } else {
      outcome = Outcome.plain(part, Outcome.Status.PASSED, seconds, "", "");
    }
    var data = JSON.createArrayNode();
    object.ifPresent(data::add);
    return outcome.with(data, JSON.createObjectNode());
  }

  /** Lathe says what went wrong in one line. */
  private static String why(String err) {
    return err.lines()
        .filter(line -> line.startsWith("lathe: "))
        .reduce((_, last) -> last)
        .map(line -> ": " + line.substring(7))
        .orElse("");
  }

  private static Optional<JsonNode> read(String text) {
    try {
      JsonNode node = JSON.readTree(text);
      return node != null && node.isObject() ? Optional.of(node) : Optional.empty();
    } catch (JacksonException e) {
      return Optional.empty(); // not a result, then; that there was none is said
    }
  }

  private JsonNode reading() {
    if (sensors.isEmpty()) {
      return JsonNodeFactory.instance.nullNode();
    }
    NvmlReading now = sensors.get().read();
    ObjectNode json = JSON.createObjectNode();
    put(json, "sm_clock_mhz", now.multiprocessorMegahertz());
    put(json, "memory_clock_mhz", now.memoryMegahertz());
    put(json, "temperature_celsius", now.temperatureCelsius());
    put(json, "power_milliwatts", now.powerMilliwatts());
    put(json, "energy_millijoules", now.energyMillijoules());
    put(json, "memory_used_bytes", now.usedBytes());
    return json;
  }

  private static void put(ObjectNode json, String key, OptionalLong value) {
    value.ifPresent(v -> json.put(key, v));
  }

  /** Without the class path, which says nothing and is long. */
  private static String commandLine(Part part) {
    List<String> words = new ArrayList<>(part.command());
    int classpath = words.indexOf("-cp");
    if (classpath >= 0) {
      words.set(classpath + 1, "...");
    }
    return String.join(" ", words);
  }
}
