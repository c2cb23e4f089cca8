package dev.lathe.gpucheck;

import dev.lathe.backend.cuda.Nvml;
import dev.lathe.backend.cuda.NvmlReading;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/** Runs a part, with the GPU's sensors read before and after, and reads what it printed. */
final class PartRunner {
  /** In a part's command, its own empty folder. */
  static final String SCRATCH = "{scratch}";

  private static final JsonMapper JSON = JsonMapper.builder().build();
  private static final int TAIL_CHARACTERS = 4000;
  private static final Pattern SUITE =
      Pattern.compile(
          "<testsuite [^>]*tests=\"(\\d+)\" skipped=\"(\\d+)\" failures=\"(\\d+)\""
              + " errors=\"(\\d+)\"");
  private static final Pattern SKIPPED =
      Pattern.compile("<skipped[^>]*>\\s*(.*?)</skipped>", Pattern.DOTALL);

  private final Store store;
  private final Optional<Nvml> sensors;

  PartRunner(Store store, Optional<Nvml> sensors) {
    this.store = store;
    this.sensors = sensors;
  }

  Outcome run(Part part) throws IOException, InterruptedException {
    if (!part.missing().isEmpty()) {
      return outcome(part, Outcome.Status.MISSING, 0, part.missing(), "", empty(), object());
    }
    Path scratch = store.scratch(part);
    Path out = scratch.resolve("stdout");
    Path err = scratch.resolve("stderr");
    ObjectNode readings = object();
    readings.set("before", reading());
    long start = System.nanoTime();
    ProcessBuilder builder =
        new ProcessBuilder(
                part.command().stream()
                    .map(word -> word.replace(SCRATCH, scratch.toString()))
                    .toList())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().putAll(part.environment());
    int code;
    try {
      Process process = builder.start();
      process.getOutputStream().close();
      if (!process.waitFor(part.limit().toSeconds(), TimeUnit.SECONDS)) {
        List<ProcessHandle> children = new ArrayList<>(process.descendants().toList());
        process.destroyForcibly().waitFor();
        children.forEach(ProcessHandle::destroyForcibly);
        code = -1;
      } else {
        code = process.exitValue();
      }
    } catch (IOException e) {
      return outcome(
          part, Outcome.Status.MISSING, 0, String.valueOf(e.getMessage()), "", empty(), object());
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    readings.set("after", reading());
    Outcome ended =
        judge(part, code, seconds, scratch, Files.readString(out), Files.readString(err));
    return new Outcome(
        ended.id(),
        ended.status(),
        ended.seconds(),
        ended.note(),
        ended.tail(),
        ended.data(),
        ended.tests(),
        readings,
        ended.command());
  }

  private Outcome judge(Part part, int code, double seconds, Path scratch, String out, String err)
      throws IOException {
    ArrayNode data = empty();
    ObjectNode tests = object();
    String problem = "";
    switch (part.kind()) {
      case TESTS -> problem = readTests(scratch, tests);
      case LINES -> {
        out.lines()
            .filter(line -> line.startsWith("{"))
            .forEach(line -> read(line).ifPresent(data::add));
        problem = data.isEmpty() ? "it printed no result" : "";
      }
      case OBJECT -> {
        Optional<JsonNode> object = read(out);
        object.ifPresent(data::add);
        problem = object.isEmpty() ? "it printed no JSON object" : "";
      }
    }
    String tail = tail(err.isBlank() ? out : err);
    if (code == -1) {
      String note = "ended after its limit of " + part.limit().toSeconds() + " s";
      return outcome(part, Outcome.Status.TIMED_OUT, seconds, note, tail, data, tests);
    }
    if (code != 0) {
      return outcome(
          part,
          Outcome.Status.FAILED,
          seconds,
          "exit status " + code + why(err),
          tail,
          data,
          tests);
    }
    return problem.isEmpty()
        ? outcome(part, Outcome.Status.PASSED, seconds, "", "", data, tests)
        : outcome(part, Outcome.Status.FAILED, seconds, problem, tail, data, tests);
  }

  /** Lathe says what went wrong in one line. */
  private static String why(String err) {
    return err.lines()
        .filter(line -> line.startsWith("lathe: "))
        .findFirst()
        .map(line -> ": " + line.substring(7))
        .orElse("");
  }

  /** Counts from JUnit's reports. @return what is wrong with them; empty where nothing is */
  private static String readTests(Path scratch, ObjectNode tests) throws IOException {
    int run = 0;
    int skipped = 0;
    int failed = 0;
    ObjectNode reasons = object();
    try (var files = Files.list(scratch)) {
      for (Path file : files.filter(f -> f.getFileName().toString().startsWith("TEST-")).toList()) {
        String xml = Files.readString(file);
        Matcher suite = SUITE.matcher(xml);
        while (suite.find()) {
          run += Integer.parseInt(suite.group(1));
          skipped += Integer.parseInt(suite.group(2));
          failed += Integer.parseInt(suite.group(3)) + Integer.parseInt(suite.group(4));
        }
        Matcher reason = SKIPPED.matcher(xml);
        while (reason.find()) {
          String text =
              reason
                  .group(1)
                  .replace("<![CDATA[", "")
                  .replaceAll("]]>.*", "")
                  .lines()
                  .findFirst()
                  .orElse("");
          text =
              text.replaceAll("^[\\w.]*TestAbortedException: ", "")
                  .replace("Assumption failed: ", "");
          reasons.put(text, reasons.path(text).asInt(0) + 1);
        }
      }
    }
    tests.put("run", run - skipped);
    tests.put("failed", failed);
    tests.put("skipped", skipped);
    tests.set("skipped_because", reasons);
    return run == 0 ? "no test was found" : "";
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
    ObjectNode json = object();
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

  private static Outcome outcome(
      Part part,
      Outcome.Status status,
      double seconds,
      String note,
      String tail,
      ArrayNode data,
      ObjectNode tests) {
    return new Outcome(
        part.id(), status, seconds, note, tail, data, tests, object(), commandLine(part));
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

  private static String tail(String text) {
    return text.length() <= TAIL_CHARACTERS
        ? text
        : text.substring(text.length() - TAIL_CHARACTERS);
  }

  private static ArrayNode empty() {
    return JsonNodeFactory.instance.arrayNode();
  }

  private static ObjectNode object() {
    return JsonNodeFactory.instance.objectNode();
  }
}
