package dev.lathe.gpucheck;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * What was found on a GPU, as JSON with every raw sample and as tables in Markdown.
 *
 * @param left parts that are not done yet
 */
record Report(Machine machine, String commit, String date, List<Outcome> outcomes, int left) {

  Findings findings() {
    return Findings.of(outcomes, machine.doctor());
  }

  List<Asks.Verdict> asks() {
    return Asks.judge(findings());
  }

  ObjectNode json() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("device", machine.device());
    json.put("commit", commit);
    json.put("date", date);
    json.put("complete", left == 0);
    Findings findings = findings();
    findings.readGbs().ifPresent(gbs -> json.put("read_gbs", gbs));
    ArrayNode asks = json.putArray("asks");
    asks().forEach(verdict -> asks.add(verdict.json()));
    ArrayNode rows = json.putArray("rows");
    findings.timings().forEach(row -> rows.add(KernelTable.json(findings, row)));
    json.set("doctor", machine.doctor());
    ArrayNode parts = json.putArray("parts");
    outcomes.forEach(outcome -> parts.add(outcome.json()));
    return json;
  }

  String markdown() {
    StringBuilder text = new StringBuilder();
    JsonNode gpu = machine.doctor().path("gpu");
    text.append("# ").append(machine.device()).append(", ").append(date).append("\n\n");
    text.append("Commit `")
        .append(commit)
        .append("`, driver ")
        .append(gpu.path("driver").asString("unknown"));
    clocks(gpu).ifPresent(c -> text.append(", ").append(c));
    text.append(
        ". Made by `scripts/gpu-check`; every raw sample, command and clock is in the JSON file beside this.\n");
    if (left > 0) {
      text.append("\n**Not finished: ").append(left).append(" parts are left.**\n");
    }
    text.append("\n## What is asked for\n\n| | | measured |\n|---|---|---|\n");
    for (Asks.Verdict verdict : asks()) {
      text.append(
          "| %s | %s | %s |%n"
              .formatted(verdict.ask(), verdict.status().text(), verdict.measured()));
    }
    text.append("\n## Parts\n\n| part | | seconds | |\n|---|---|---|---|\n");
    for (Outcome outcome : outcomes) {
      text.append(
          "| %s | %s | %.1f | %s |%n"
              .formatted(
                  outcome.id(), outcome.status().text(), outcome.seconds(), detail(outcome)));
    }
    tests(text);
    refusals(text);
    text.append(KernelTable.markdown(findings()));
    return text.toString();
  }

  private static Optional<String> clocks(JsonNode gpu) {
    return gpu.path("sm_clock_max_mhz").isNumber()
        ? Optional.of(
            "clocks up to %d MHz (memory %d MHz)"
                .formatted(
                    gpu.get("sm_clock_max_mhz").asLong(),
                    gpu.path("memory_clock_max_mhz").asLong()))
        : Optional.empty();
  }

  private static String detail(Outcome outcome) {
    List<String> parts = new ArrayList<>();
    if (outcome.tests().has("run")) {
      parts.add(
          "%d tests, %d failed, %d skipped"
              .formatted(
                  outcome.tests().get("run").asInt(),
                  outcome.tests().get("failed").asInt(),
                  outcome.tests().get("skipped").asInt()));
    } else if (!outcome.note().isEmpty()) {
      parts.add(outcome.note());
    }
    return cell(String.join("; ", parts));
  }

  private static String cell(String text) {
    return text.replace("|", "\\|").replace('\n', ' ');
  }

  /** Each test that failed, and why others were skipped. */
  private void tests(StringBuilder text) {
    List<String> lines = new ArrayList<>();
    for (Outcome outcome : outcomes) {
      outcome
          .tests()
          .path("failures")
          .properties()
          .forEach(failure ->
              lines.add(
                  "* failed: `%s`: %s%n"
                      .formatted(failure.getKey(), failure.getValue().asString())));
      outcome
          .tests()
          .path("skipped_because")
          .properties()
          .forEach(reason ->
              lines.add(
                  "* %s: %d skipped: %s%n"
                      .formatted(outcome.id(), reason.getValue().asInt(), reason.getKey())));
    }
    if (!lines.isEmpty()) {
      text.append("\n## Tests\n\n");
      lines.forEach(text::append);
    }
  }

  /** Shapes that a side can't compute, in its own words. */
  private void refusals(StringBuilder text) {
    List<String> lines = new ArrayList<>();
    for (Outcome outcome : outcomes) {
      for (JsonNode line : outcome.data()) {
        if (line.path("error").isString()) {
          lines.add(
              "* %s %s by %s: %s%n"
                  .formatted(
                      line.path("bench").asString(""),
                      line.path("shape").asString(""),
                      line.path("side").asString(""),
                      line.get("error").stringValue()));
        }
      }
    }
    if (!lines.isEmpty()) {
      text.append("\n## Not computed\n\n");
      lines.forEach(text::append);
    }
  }

  static String number(OptionalDouble value, String format) {
    return value.isPresent() ? String.format(Locale.ROOT, format, value.getAsDouble()) : "";
  }
}
