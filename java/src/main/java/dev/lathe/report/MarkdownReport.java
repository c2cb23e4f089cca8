package dev.lathe.report;

import java.util.List;
import java.util.stream.Collectors;

/** The report as Markdown: the verdict and the tables of the HTML report. */
public final class MarkdownReport {
  private MarkdownReport() {}

  public static String render(OptimizeResults results) {
    Verdict verdict = Verdict.of(results);
    StringBuilder out = new StringBuilder();
    out.append("# ").append(escape(verdict.headline())).append(".\n\n");
    out.append(
        "Lathe optimized %s (%s parameters) with the recipe %s.\n\n"
            .formatted(
                escape(results.source().path()),
                Figures.count(results.source().params()),
                escape(results.recipe().name())));
    list(out, "Gained", verdict.gained());
    list(out, "It cost", verdict.cost());
    list(out, "Tried and rejected", verdict.rejected());
    list(out, "Does not hold", verdict.failed());
    for (Table table : Tables.all(results)) {
      out.append("## ").append(escape(table.title())).append("\n\n");
      if (!table.note().isEmpty()) {
        out.append(escape(table.note())).append("\n\n");
      }
      if (table.rows().isEmpty()) {
        out.append("None.\n\n");
      } else {
        table(out, table);
      }
    }
    return out.toString();
  }

  private static void list(StringBuilder out, String title, List<String> items) {
    if (items.isEmpty()) {
      return;
    }
    out.append("**").append(title).append("**\n\n");
    items.forEach(item -> out.append("- ").append(escape(item)).append('\n'));
    out.append('\n');
  }

  private static void table(StringBuilder out, Table table) {
    out.append(
        table.columns().stream()
            .map(column -> escape(column.name()))
            .collect(Collectors.joining(" | ", "| ", " |\n")));
    out.append(
        table.columns().stream()
            .map(column -> column.align() == Table.Align.NUMBER ? "---:" : "---")
            .collect(Collectors.joining(" | ", "| ", " |\n")));
    for (Table.Row row : table.rows()) {
      out.append(
          row.cells().stream()
              .map(MarkdownReport::escape)
              .collect(Collectors.joining(" | ", "| ", " |\n")));
    }
    out.append('\n');
  }

  /** Text from files must not become markup, and a cell must stay on its line. */
  static String escape(String text) {
    StringBuilder out = new StringBuilder();
    text.codePoints()
        .forEach(c -> {
          if ("\\`*_[]<>|#~!".indexOf(c) >= 0) {
            out.append('\\').appendCodePoint(c);
          } else if (c == '&') {
            out.append("&amp;");
          } else {
            out.appendCodePoint(Character.isISOControl(c) ? ' ' : c);
          }
        });
    return out.toString();
  }
}
