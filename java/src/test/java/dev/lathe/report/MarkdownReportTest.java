package dev.lathe.report;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.measure.RunJson;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

class MarkdownReportTest {
  @Test
  void itHasTheTablesOfTheHtmlReport() {
    String text = MarkdownReport.render(Fixture.results());

    assertThat(text).startsWith("# 3.83 times smaller and 11.3 times faster");
    for (Table table : Tables.all(Fixture.results())) {
      assertThat(text).contains("## " + MarkdownReport.escape(table.title()) + "\n");
      int header = text.indexOf(table.columns().getFirst().name());
      assertThat(header).isPositive();
    }
    assertThat(text).contains("**Tried and rejected**", "A year of what one baseline machine does");
  }

  @Test
  void everyRowHasTheCellsOfItsHeader() {
    String hostile = "a|b\nc <img> `x` *y* [z](w)";
    String text =
        MarkdownReport.render(
            Fixture.results(
                List.of(Fixture.BASELINE, HtmlReportTest.renamed(Fixture.QUANTIZED, hostile)),
                hostile,
                true));
    int columns = 0;
    for (String line : text.lines().toList()) {
      if (!line.startsWith("|")) {
        columns = 0;
        continue;
      }
      int cells = line.replace("\\|", "").split("\\|", -1).length;
      columns = columns == 0 ? cells : columns;
      assertThat(cells).as(line).isEqualTo(columns);
    }
    assertThat(text).doesNotContain("<img>").doesNotContain("[z](w)");
  }

  @Test
  void resultsComeBackFromJsonAsTheyWere() {
    OptimizeResults results = Fixture.results();
    String json = new String(RunJson.file(results), StandardCharsets.UTF_8);

    assertThat(RunJson.read(json, OptimizeResults.class, "results.json")).isEqualTo(results);
    assertThat(json)
        .contains("\"tokens_per_second\"", "\"loss_percent\"", "\"perplexity_standard_error\"")
        .contains("\"kl_mean\"", "\"top1_agreement\"", "\"ttft_ms\"", "\"tpot_ms\"", "\"p50\"");
  }
}
