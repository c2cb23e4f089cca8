package dev.lathe.report;

import static dev.lathe.report.HtmlReport.escape;

import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;

/** The places of the charts, each with its figures in words for those who do not see it. */
final class HtmlCharts {
  private HtmlCharts() {}

  static void write(StringBuilder out, OptimizeResults results) {
    ChartData data = ChartData.of(results);
    out.append("<section class=\"charts\" aria-label=\"Charts\">\n");
    out.append(
        "<noscript><p class=\"note\">Charts need JavaScript. Every figure in them stands in the tables below.</p></noscript>\n");
    figure(
        out,
        "chart-quality",
        "Size against quality",
        "Every model that was tried. Down and to the left is better; above the line loses more than allowed.",
        data.points().stream()
            .map(p ->
                "%s (%s): %s, perplexity %s (%s)"
                    .formatted(
                        p.name(),
                        p.verdict(),
                        Figures.bytes(p.bytes()),
                        Figures.number(p.perplexity(), 4),
                        Figures.change(p.lossPercent())))
            .toList());
    figure(
        out,
        "chart-speed",
        "Tokens/s per stage",
        "Median of the repetitions; the thin line spans the slowest and the fastest.",
        data.speeds().stream()
            .map(s ->
                "%s (%s): %s tokens/s"
                    .formatted(s.name(), s.verdict(), Figures.number(s.tokensPerSecond())))
            .toList());
    figure(
        out,
        "chart-operations",
        "Time by operation",
        "Time per generated token. Before: %s. After: %s."
            .formatted(absent(data.operationsBefore()), absent(data.operationsAfter())),
        data.operations().stream()
            .map(op ->
                "%s: before %s, after %s"
                    .formatted(
                        op.name(),
                        Figures.orNotMeasured(op.beforeMs(), Figures::millis),
                        Figures.orNotMeasured(op.afterMs(), Figures::millis)))
            .toList());
    figure(
        out,
        "chart-latency",
        "Latency of a token",
        "Share of tokens that came within a time. Further left is faster; upright is steadier.",
        data.latencies().stream()
            .map(curve ->
                "%s (%s): %s"
                    .formatted(
                        curve.name(),
                        curve.verdict(),
                        curve.quantiles().stream()
                            .filter(q -> q.q() == 0.5 || q.q() == 0.99)
                            .sorted(Comparator.comparingDouble(Stage.Quantile::q))
                            .map(q ->
                                "p%s %s"
                                    .formatted(Figures.number(100 * q.q()), Figures.millis(q.ms())))
                            .collect(Collectors.joining(", "))))
            .toList());
    out.append("</section>\n");
  }

  private static String absent(String text) {
    return text.isEmpty() ? Figures.NOT_MEASURED : text;
  }

  private static void figure(
      StringBuilder out, String id, String title, String note, List<String> inWords) {
    String alternative =
        inWords.isEmpty() ? Figures.NOT_MEASURED : String.join("; ", inWords) + ".";
    out.append(
        "<figure><figcaption><h2>%s</h2><p class=\"note\">%s</p></figcaption>"
            .formatted(escape(title), escape(note)));
    out.append(
        inWords.isEmpty()
            ? "<p class=\"absent\">Not measured.</p>"
            : "<div class=\"chart\" id=\"%s\" role=\"img\" aria-label=\"%s\"></div>"
                .formatted(id, escape(title + ". " + alternative)));
    out.append("</figure>\n");
  }
}
