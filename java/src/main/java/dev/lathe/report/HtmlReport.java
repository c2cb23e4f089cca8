package dev.lathe.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.List;

/**
 * The report as one HTML file that opens offline: styles, scripts and data are inside it, and its
 * content security policy forbids it to load or send anything. Tables need no JavaScript; charts
 * are drawn by ECharts (Apache-2.0, its licence notice is kept in the file).
 */
public final class HtmlReport {
  private static final String ECHARTS = "/META-INF/resources/webjars/echarts/5.5.0/echarts.min.js";

  private HtmlReport() {}

  public static String render(OptimizeResults results) {
    Verdict verdict = Verdict.of(results);
    String charts = resource(ECHARTS);
    String own = resource("report.js");
    StringBuilder out = new StringBuilder(charts.length() + (1 << 17));
    head(out, verdict, charts, own);
    HtmlSummary.write(out, results, verdict);
    HtmlCharts.write(out, results);
    out.append("<section class=\"tables\">\n");
    List<Table> tables = Tables.all(results);
    out.append("<nav aria-label=\"Tables\"><h2>All figures</h2><ul>\n");
    for (Table table : tables) {
      if (!table.folded()) {
        out.append("<li><a href=\"#%s\">%s</a></li>\n".formatted(id(table), escape(table.title())));
      }
    }
    out.append("</ul></nav>\n");
    tables.forEach(table -> table(out, table));
    out.append("</section>\n</main>\n<footer>");
    out.append(
        "<p>%s. Charts: Apache ECharts 5.5.0, Apache License 2.0 (its notice is in this file). This file loads nothing and sends nothing.</p>"
            .formatted(escape(results.conditions().tool())));
    out.append("</footer>\n");
    out.append("<script type=\"application/json\" id=\"figures\">")
        .append(ChartData.of(results).json())
        .append("</script>\n");
    out.append("<script>").append(charts).append("</script>\n");
    out.append("<script>").append(own).append("</script>\n");
    return out.append("</body>\n</html>\n").toString();
  }

  private static void head(StringBuilder out, Verdict verdict, String charts, String own) {
    out.append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.append(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-%s' 'sha256-%s'\">\n"
            .formatted(sha256(charts), sha256(own)));
    out.append(
        """
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <link rel="icon" href="data:,">
        """);
    out.append("<title>%s · Lathe</title>\n".formatted(escape(verdict.headline())));
    out.append("<style>\n").append(resource("report.css")).append("</style>\n</head>\n<body>\n");
    out.append("<main>\n");
  }

  private static void table(StringBuilder out, Table table) {
    String title = escape(table.title());
    out.append(
        table.folded()
            ? "<details id=\"%s\"><summary><h3>%s</h3></summary>\n".formatted(id(table), title)
            : "<section id=\"%s\"><h3>%s</h3>\n".formatted(id(table), title));
    if (!table.note().isEmpty()) {
      out.append("<p class=\"note\">").append(escape(table.note())).append("</p>\n");
    }
    if (table.rows().isEmpty()) {
      out.append("<p>None.</p>\n");
    } else {
      // Focusable, so that a keyboard can scroll what a narrow screen cuts off.
      out.append(
          "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"%s\"><table>\n<thead><tr>"
              .formatted(title));
      for (Table.Column column : table.columns()) {
        out.append("<th scope=\"col\"%s>%s</th>".formatted(align(column), escape(column.name())));
      }
      out.append("</tr></thead>\n<tbody>\n");
      table.rows().forEach(row -> row(out, table, row));
      out.append("</tbody></table></div>\n");
    }
    out.append(table.folded() ? "</details>\n" : "</section>\n");
  }

  private static void row(StringBuilder out, Table table, Table.Row row) {
    out.append(
        switch (row.mark()) {
          case PLAIN -> "<tr>";
          case ACCEPTED -> "<tr class=\"accepted\">";
          case REJECTED -> "<tr class=\"rejected\">";
        });
    for (int i = 0; i < row.cells().size(); i++) {
      String cell = row.cells().get(i);
      String content =
          cell.equals(Figures.NOT_MEASURED)
              ? "<span class=\"absent\">" + cell + "</span>"
              : escape(cell);
      out.append(
          i == 0
              ? "<th scope=\"row\">%s</th>".formatted(content)
              : "<td%s>%s</td>".formatted(align(table.columns().get(i)), content));
    }
    out.append("</tr>\n");
  }

  private static String align(Table.Column column) {
    return column.align() == Table.Align.NUMBER ? " class=\"n\"" : "";
  }

  private static String id(Table table) {
    return table.id().replaceAll("[^A-Za-z0-9-]", "-");
  }

  /** Text from models, files and users must not become markup. */
  static String escape(String text) {
    StringBuilder out = new StringBuilder(text.length() + 16);
    text.codePoints()
        .forEach(c -> {
          switch (c) {
            case '&' -> out.append("&amp;");
            case '<' -> out.append("&lt;");
            case '>' -> out.append("&gt;");
            case '"' -> out.append("&quot;");
            case '\'' -> out.append("&#39;");
            default -> out.appendCodePoint(Character.isISOControl(c) && c != '\n' ? ' ' : c);
          }
        });
    return out.toString();
  }

  static String resource(String name) {
    try (InputStream in = HtmlReport.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IllegalStateException("resource " + name + " is not packed");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String sha256(String script) {
    try {
      byte[] bytes = script.getBytes(StandardCharsets.UTF_8);
      return Base64.getEncoder().encodeToString(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
