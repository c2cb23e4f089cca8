package dev.lathe.report;

import static dev.lathe.report.HtmlReport.escape;

import dev.lathe.report.Stage.Kind;
import java.util.List;
import java.util.Optional;

/** The top of the HTML report: the verdict, the key figures, every stage with its reason. */
final class HtmlSummary {
  private HtmlSummary() {}

  static void write(StringBuilder out, OptimizeResults results, Verdict verdict) {
    out.append("<header>\n<p class=\"overline\">Lathe · optimization report</p>\n");
    // A percent sign does not stand alone on a line.
    String headline = escape(verdict.headline()).replace(" %", "&nbsp;%");
    out.append("<h1>%s.</h1>\n".formatted(headline));
    out.append(
        "<p class=\"lead\"><strong>%s</strong>, %s parameters, recipe <strong>%s</strong>, on %s (%s).</p>\n"
            .formatted(
                escape(lastName(results.source().path())),
                Figures.count(results.source().params()),
                escape(results.recipe().name()),
                escape(results.conditions().device()),
                escape(results.conditions().backend())));
    if (!verdict.failed().isEmpty()) {
      out.append("<div class=\"alert\" role=\"alert\"><strong>Does not hold</strong><ul>");
      verdict.failed().forEach(f -> out.append("<li>%s</li>".formatted(escape(f))));
      out.append("</ul></div>\n");
    }
    out.append("</header>\n");
    tiles(out, results);
    out.append("<section class=\"verdict\">\n");
    list(out, "What was gained", verdict.gained());
    list(out, "What it cost", verdict.cost());
    list(out, "What was rejected, and why", verdict.rejected());
    out.append("</section>\n");
    steps(out, results);
  }

  private static void tiles(StringBuilder out, OptimizeResults results) {
    Stage before = results.baseline();
    Stage model = results.acceptedModel();
    out.append("<section class=\"tiles\" aria-label=\"Key figures\">\n");
    tile(
        out,
        "Size",
        Figures.bytes(model.bytes()),
        "was %s · %s"
            .formatted(
                Figures.bytes(before.bytes()),
                Figures.ratio((double) before.bytes() / model.bytes(), "smaller", "larger")));
    tile(
        out,
        "Perplexity",
        model.quality().map(q -> Figures.number(q.perplexity(), 4)).orElse(Figures.NOT_MEASURED),
        before
            .quality()
            .map(q ->
                "was %s · %s, allowed %s"
                    .formatted(
                        Figures.number(q.perplexity(), 4),
                        model
                            .quality()
                            .map(m -> Figures.change(m.lossPercent()))
                            .orElse(Figures.NOT_MEASURED),
                        Figures.change(results.recipe().maxLossPercent())))
            .orElse(""));
    Stage one = results.stage(Kind.KV_CACHE).filter(Stage::accepted).orElse(model);
    tile(
        out,
        "One sequence",
        Figures.orNotMeasured(one.tokensPerSecond(), Figures::perSecond),
        "was %s · %s"
            .formatted(
                Figures.orNotMeasured(one.baselineTokensPerSecond(), Figures::number),
                Figures.orNotMeasured(
                    one.speedup(), ratio -> Figures.ratio(ratio, "faster", "slower"))));
    Optional<Stage> batch = results.stage(Kind.BATCH).filter(Stage::accepted);
    batch.ifPresent(stage ->
        tile(
            out,
            stage.sequences() + " sequences",
            Figures.orNotMeasured(stage.tokensPerSecond(), Figures::perSecond),
            "in total · %s the baseline"
                .formatted(Figures.orNotMeasured(stage.speedup(), Figures::ratio))));
    results
        .cost()
        .ifPresent(cost ->
            tile(
                out,
                "A million tokens",
                cost.afterBatched()
                    .or(cost::after)
                    .map(p -> Figures.money(p.perMillionTokens(), cost.currency()))
                    .orElse(Figures.NOT_MEASURED),
                "was "
                    + Figures.money(cost.before().perMillionTokens(), cost.currency())
                    + (cost.afterBatched().isPresent() ? " · batched" : "")));
    out.append("</section>\n");
  }

  private static void tile(StringBuilder out, String name, String figure, String note) {
    out.append(
        "<div class=\"tile\"><h2>%s</h2><p class=\"figure\">%s</p><p class=\"was\">%s</p></div>\n"
            .formatted(escape(name), figure(figure), escape(note)));
  }

  /** The unit smaller than the number. */
  private static String figure(String text) {
    int space = text.indexOf(' ');
    return space < 0 || text.equals(Figures.NOT_MEASURED)
        ? escape(text)
        : escape(text.substring(0, space))
            + " <span class=\"unit\">"
            + escape(text.substring(space + 1))
            + "</span>";
  }

  private static void list(StringBuilder out, String title, List<String> items) {
    out.append("<div><h2>%s</h2><ul>".formatted(title));
    List<String> shown = items.isEmpty() ? List.of("Nothing") : items;
    shown.forEach(item -> out.append("<li>%s</li>".formatted(escape(item))));
    out.append("</ul></div>\n");
  }

  private static void steps(StringBuilder out, OptimizeResults results) {
    out.append("<section class=\"steps\">\n<h2>Step by step</h2>\n<ol>\n");
    for (Stage stage : results.stages()) {
      String verdict = Tables.verdict(stage);
      String mark =
          switch (verdict) {
            case "accepted" -> "✓";
            case "rejected" -> "✗";
            default -> "•";
          };
      out.append(
          "<li class=\"%s\"><span class=\"badge\"><span aria-hidden=\"true\">%s</span> %s</span><div><strong>%s</strong><p>%s</p></div></li>\n"
              .formatted(verdict, mark, verdict, escape(stage.what()), escape(stage.reason())));
    }
    out.append("</ol>\n</section>\n");
  }

  private static String lastName(String path) {
    String trimmed = path.replaceAll("/+$", "");
    return trimmed.substring(trimmed.lastIndexOf('/') + 1);
  }
}
