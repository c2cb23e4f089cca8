package dev.lathe.cli;

import dev.lathe.measure.RunJson;
import dev.lathe.optimize.OptimizeOutcome;
import dev.lathe.report.Stage;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.OptionalDouble;
import tools.jackson.databind.node.ObjectNode;

/** What {@code optimize} prints: the run's results.json, with paths that lead somewhere. */
record OptimizeOutput(OptimizeOutcome outcome) {

  ObjectNode json() {
    ObjectNode json = RunJson.mapper().valueToTree(outcome.results());
    json.put("report", path(outcome.results().report()).toString());
    json.put("model", path(outcome.results().model()).toString());
    json.put("run", outcome.runFolder().toString());
    return json;
  }

  void print(PrintStream out) {
    String row = "%-28s %-9s %12s %7s %8s %12s %9s %11s %8s%n";
    out.printf(
        row,
        "stage",
        "verdict",
        "bytes",
        "smaller",
        "KV/token",
        "perplexity",
        "loss",
        "tokens/s",
        "speed-up");
    for (Stage stage : outcome.results().stages()) {
      out.printf(
          row,
          stage.name(),
          stage.accepted() ? "accepted" : "reverted",
          "%,d".formatted(stage.bytes()),
          "%.2fx".formatted(stage.compression()),
          stage.kvBytesPerToken().isPresent()
              ? "%,d".formatted(stage.kvBytesPerToken().getAsLong())
              : "-",
          stage.quality().map(q -> "%.5f".formatted(q.perplexity())).orElse("-"),
          stage.quality().map(q -> "%+.2f %%".formatted(q.lossPercent())).orElse("-"),
          figure(stage.tokensPerSecond(), "%,.1f"),
          figure(stage.speedup(), "%.2fx"));
    }
    outcome.results().checks().stream()
        .filter(check -> !check.passed())
        .forEach(check -> out.println("NOT MET: " + check.name() + ": " + check.detail()));
    out.println("model:  " + path(outcome.results().model()));
    out.println("report: " + path(outcome.results().report()));
  }

  private Path path(String relative) {
    return outcome.runFolder().resolve(relative);
  }

  private static String figure(OptionalDouble value, String format) {
    return value.isPresent() ? format.formatted(value.getAsDouble()) : "-";
  }
}
