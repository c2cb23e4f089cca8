package dev.lathe.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class HtmlReportTest {
  private static final String HTML = HtmlReport.render(Fixture.results());

  @Test
  void theVerdictStandsBeforeAnyTable() {
    int verdict =
        HTML.indexOf("<h1>3.83 times smaller and 11.3 times faster, for 0.083&nbsp;% more");
    assertThat(verdict).isPositive();
    assertThat(HTML.indexOf("<table>")).isGreaterThan(verdict);
    assertThat(HTML).contains("perplexity +905 % where +1.50 % is allowed");
  }

  @Test
  void theTablesNeedNoScript() {
    String withoutScripts = HTML.replaceAll("(?s)<script.*?</script>", "");
    for (Table table : Tables.all(Fixture.results())) {
      assertThat(withoutScripts).contains("id=\"" + table.id() + "\"");
    }
    assertThat(withoutScripts)
        .contains("272 kB (272,300 bytes)", "<th scope=\"col\"", "<th scope=\"row\"", "9,120");
  }

  @Test
  void nothingIsLoadedFromAnywhere() {
    String markup = HTML.replaceAll("(?s)<script[^>]*>.*?</script>", "");
    for (String loading :
        List.of(
            " src=",
            "@import",
            "url(",
            "<link rel=\"stylesheet\"",
            "<iframe",
            "http-equiv=\"refresh\"")) {
      assertThat(markup).doesNotContain(loading);
    }
    assertThat(HTML).contains("default-src 'none'");
  }

  @Test
  void thePolicyAllowsTheScriptsOfTheFileAndNoOthers() throws Exception {
    List<String> scripts = scripts(HTML);
    assertThat(scripts).hasSize(2);
    for (String script : scripts) {
      byte[] hash =
          MessageDigest.getInstance("SHA-256").digest(script.getBytes(StandardCharsets.UTF_8));
      assertThat(HTML).contains("'sha256-" + Base64.getEncoder().encodeToString(hash) + "'");
    }
    Matcher policy = Pattern.compile("script-src ([^;\"]*)").matcher(HTML);
    assertThat(policy.find()).isTrue();
    assertThat(policy.group(1)).doesNotContain("unsafe");
  }

  @Test
  void theLibraryKeepsItsLicenceNotice() {
    assertThat(HTML)
        .contains("Licensed to the Apache Software Foundation (ASF)")
        .contains("http://www.apache.org/licenses/LICENSE-2.0");
  }

  @Test
  void whatComesFromFilesIsNeverMarkup() {
    Stage hostile = renamed(Fixture.QUANTIZED, Fixture.HOSTILE);
    String html =
        HtmlReport.render(
            Fixture.results(List.of(Fixture.BASELINE, hostile), Fixture.HOSTILE, true));

    String markup = html.replaceAll("(?s)<script>.*?</script>", "");
    assertThat(markup).doesNotContain("<img").doesNotContain("<script>");
    assertThat(scripts(html)).hasSize(2);
    assertThat(html).contains("&lt;img src=x onerror=alert(1)&gt;");
    Matcher data =
        Pattern.compile("(?s)<script type=\"application/json\" id=\"figures\">(.*?)</script>")
            .matcher(html);
    assertThat(data.find()).isTrue();
    assertThat(data.group(1)).contains("\\u003c/script\\u003e").endsWith("}");
  }

  @Test
  void whatWasNotMeasuredSaysSo() {
    Stage bare = withoutSpeed(Fixture.PRUNED);
    String html = HtmlReport.render(Fixture.results(List.of(Fixture.BASELINE, bare), "m", false));

    assertThat(html).contains("<span class=\"absent\">not measured</span>");
    assertThat(html).contains("Before: not measured. After: not measured.");
    assertThat(html).doesNotContain("id=\"cost\"");
    // Its row has no figure for speed, and no zero in the place of one.
    Matcher row =
        Pattern.compile("(?s)<section id=\"speed\">.*?(<tr class=\"rejected\">.*?</tr>)")
            .matcher(html);
    assertThat(row.find()).isTrue();
    assertThat(row.group(1)).contains("not measured").doesNotContain(">0<");
  }

  @Test
  void everyChartHasItsFiguresInWords() {
    List<String> labels = new ArrayList<>();
    Matcher chart = Pattern.compile("role=\"img\" aria-label=\"([^\"]*)\"").matcher(HTML);
    chart.results().map(MatchResult::group).forEach(labels::add);

    assertThat(labels).hasSize(4);
    assertThat(labels.get(0)).contains("rejected", "178 kB", "+905 %");
    assertThat(labels.get(1)).contains("9,120 tokens/s");
    assertThat(labels.get(2)).contains("linear: before 7.50 ms, after 0.656 ms");
    assertThat(labels.get(3)).contains("p50", "p99");
  }

  @Test
  void aCheckThatFailsIsSaidAtTheTop() {
    OptimizeResults good = Fixture.results();
    OptimizeResults bad =
        new OptimizeResults(
            good.model(),
            good.report(),
            false,
            good.source(),
            good.recipe(),
            good.evaluation(),
            good.generation(),
            good.stages(),
            List.of(new OptimizeResults.Check("same tokens", false, "part at token 17")),
            good.profileBefore(),
            good.profileAfter(),
            good.cost(),
            good.conditions(),
            good.formulas());

    String html = HtmlReport.render(bad);
    assertThat(html.indexOf("same tokens: part at token 17"))
        .isPositive()
        .isLessThan(html.indexOf("Key figures"));
    assertThat(HTML).doesNotContain("Does not hold");
  }

  private static List<String> scripts(String html) {
    return Pattern.compile("(?s)<script>(.*?)</script>")
        .matcher(html)
        .results()
        .map(result -> result.group(1))
        .toList();
  }

  static Stage renamed(Stage s, String what) {
    return new Stage(
        s.name(),
        s.kind(),
        what,
        s.accepted(),
        s.reason(),
        s.bytes(),
        s.compression(),
        s.residentBytes(),
        s.kvBytesPerToken(),
        s.quality(),
        s.tokensPerSecond(),
        s.tokensPerSecondLow(),
        s.tokensPerSecondHigh(),
        s.sequences(),
        s.cached(),
        s.ttftMs(),
        s.tpotMs(),
        s.baselineTokensPerSecond(),
        s.speedup(),
        s.ownSpeedup(),
        s.latency(),
        s.layers());
  }

  private static Stage withoutSpeed(Stage s) {
    java.util.OptionalDouble none = java.util.OptionalDouble.empty();
    return new Stage(
        s.name(),
        s.kind(),
        s.what(),
        s.accepted(),
        s.reason(),
        s.bytes(),
        s.compression(),
        s.residentBytes(),
        s.kvBytesPerToken(),
        s.quality(),
        none,
        none,
        none,
        s.sequences(),
        s.cached(),
        none,
        none,
        none,
        none,
        none,
        java.util.Optional.empty(),
        s.layers());
  }
}
