package dev.lathe.gpucheck;

import java.util.Locale;
import java.util.Optional;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/** Every row that was timed, with its floor and who else computed it. */
final class KernelTable {
  private KernelTable() {}

  static ObjectNode json(Findings findings, Timing row) {
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("bench", row.bench()).put("shape", row.shape()).put("side", row.side());
    json.put("n", row.microseconds().length);
    json.put("median_us", row.median());
    json.put("spread_percent", 100 * row.spread());
    row.gigabytesPerSecond().ifPresent(gbs -> json.put("gbs", gbs));
    row.teraflopsPerSecond().ifPresent(tflops -> json.put("tflops", tflops));
    findings.floorMicros(row).ifPresent(floor -> json.put("floor_us", floor));
    findings.percentOfFloor(row).ifPresent(percent -> json.put("percent_of_floor", percent));
    if (row.ours()) {
      findings
          .peerOf(row)
          .ifPresent(peer -> {
            json.put("peer", name(row, peer));
            json.put("peer_median_us", peer.median());
            json.put("peer_ratio", row.ratioOf(peer));
            json.put("paired", row.pairedWith(peer));
          });
    }
    return json;
  }

  /** With its bench where that is another. */
  private static String name(Timing row, Timing peer) {
    return peer.bench().equals(row.bench()) ? peer.side() : peer.side() + " " + peer.bench();
  }

  /** Empty where nothing was timed. */
  static String markdown(Findings findings) {
    if (findings.timings().isEmpty()) {
      return "";
    }
    StringBuilder text = new StringBuilder("\n## Rows\n\n");
    text.append(
        """
        Medians of n samples, ± half of the range of the middle 80 %. The floor is the time that the bytes which have to
        move take at the bandwidth of reading, or the operations at the most that anyone reached in that arithmetic, whichever
        is longer, all of this run; % is the floor's part of the median. A ratio with * is the median of ratios of samples taken
        in turns, without the ratio of two medians; above 1 the other takes longer.
        """);
    findings.readGbs().ifPresent(gbs -> text.append("Reading: %.0f GB/s.".formatted(gbs)));
    for (String arithmetic : new String[] {"bf16", "int8", "f32"}) {
      findings
          .peakTflops(arithmetic)
          .ifPresent(peak -> text.append(" %s: %.0f TFLOP/s.".formatted(arithmetic, peak)));
    }
    text.append(
        "\n\n| | shape | by | n | µs | GB/s | TFLOP/s | floor µs | % | fastest other | µs | ratio |\n");
    text.append("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    findings.timings().forEach(row -> text.append(line(findings, row)));
    return text.toString();
  }

  private static String line(Findings findings, Timing row) {
    Optional<Timing> peer = row.ours() ? findings.peerOf(row) : Optional.empty();
    return String.format(
        Locale.ROOT,
        "| %s | %s | %s | %d | %.2f ± %.1f %% | %s | %s | %s | %s | %s | %s | %s |%n",
        row.bench(),
        row.shape(),
        row.side(),
        row.microseconds().length,
        row.median(),
        100 * row.spread(),
        Report.number(row.gigabytesPerSecond(), "%.0f"),
        Report.number(row.teraflopsPerSecond(), "%.1f"),
        Report.number(findings.floorMicros(row), "%.2f"),
        Report.number(findings.percentOfFloor(row), "%.1f"),
        peer.map(p -> name(row, p)).orElse(""),
        peer.map(p -> String.format(Locale.ROOT, "%.2f", p.median())).orElse(""),
        peer.map(p ->
                String.format(Locale.ROOT, "%.2f%s", row.ratioOf(p), row.pairedWith(p) ? "*" : ""))
            .orElse(""));
  }
}
