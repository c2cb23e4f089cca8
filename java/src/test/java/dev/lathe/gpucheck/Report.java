package dev.lathe.gpucheck;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
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

  ObjectNode json() {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("device", machine.device());
    json.put("commit", commit);
    json.put("date", date);
    json.put("complete", left == 0);
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
    text.append("\n## Parts\n\n| part | | seconds | |\n|---|---|---|---|\n");
    for (Outcome outcome : outcomes) {
      text.append(
          "| %s | %s | %.1f | %s |%n"
              .formatted(
                  outcome.id(), outcome.status().text(), outcome.seconds(), detail(outcome)));
    }
    timings(text);
    text.append(new ModelTable(outcomes).markdown(bandwidth()));
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
    }
    if (!outcome.note().isEmpty()) {
      parts.add(outcome.note());
    }
    return String.join("; ", parts).replace("|", "\\|").replace('\n', ' ');
  }

  /** A row for each kernel of each shape; whoever computed the same stands together. */
  private void timings(StringBuilder text) {
    Map<String, List<Timing>> rows = new LinkedHashMap<>();
    for (Outcome outcome : outcomes) {
      for (JsonNode line : outcome.data()) {
        Timing.of(line)
            .ifPresent(t ->
                rows.computeIfAbsent(t.bench() + " | " + t.shape(), _ -> new ArrayList<>()).add(t));
      }
    }
    refusals(text);
    if (rows.isEmpty()) {
      return;
    }
    OptionalDouble bandwidth = bandwidth();
    text.append(
        "\n## Kernels\n\nMedians, ± half of the range of the middle 80 %; GB/s and TFLOP/s of the least that has to be moved and computed");
    bandwidth.ifPresent(b ->
        text.append(
            String.format(
                Locale.ROOT, "; %% of the %.0f GB/s that reading reached in the same run", b)));
    text.append(
        ".\n\n| | shape | by | µs | GB/s | % | TFLOP/s | against `lathe` |\n|---|---|---|---|---|---|---|---|\n");
    rows.forEach((what, sides) -> {
      OptionalDouble ours =
          sides.stream().filter(t -> t.side().equals("lathe")).mapToDouble(Timing::median).min();
      for (Timing t : sides) {
        String ratio =
            ours.isPresent() && !t.side().equals("lathe")
                ? "%.2f times as long".formatted(t.median() / ours.getAsDouble())
                : "";
        OptionalDouble gbs = t.gigabytesPerSecond();
        String percent =
            gbs.isPresent() && bandwidth.isPresent()
                ? "%.1f".formatted(100 * gbs.getAsDouble() / bandwidth.getAsDouble())
                : "";
        text.append(
            String.format(
                Locale.ROOT,
                "| %s | %s | %.2f ± %.1f %% | %s | %s | %s | %s |%n",
                what,
                t.side(),
                t.median(),
                100 * t.spread(),
                number(gbs),
                percent,
                number(t.teraflopsPerSecond()),
                ratio));
      }
    });
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

  /** What doctor measured on the device. */
  private OptionalDouble bandwidth() {
    for (JsonNode backend : machine.doctor().path("backends")) {
      if (backend.path("name").asString("").equals("cuda")
          && backend.path("peak_bandwidth_gbs").isNumber()) {
        return OptionalDouble.of(backend.get("peak_bandwidth_gbs").asDouble());
      }
    }
    return OptionalDouble.empty();
  }

  private static String number(OptionalDouble value) {
    return value.isPresent() ? String.format(Locale.ROOT, "%.1f", value.getAsDouble()) : "";
  }
}
