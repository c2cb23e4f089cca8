package dev.lathe.tokenize.jinja;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.util.List;
import java.util.Map;
import org.assertj.core.api.SoftAssertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/**
 * Every template is rendered as Jinja2 rendered it, or refused; and none takes more than it may.
 */
class TemplateTest {
  private static String render(String template, Map<String, ?> values) {
    return Template.parse(template).render(values, RenderedByJinja2.NOW);
  }

  private static String render(String template) {
    return render(template, Map.of());
  }

  /** Of the constructs; of expressions and of statements that were drawn at random. */
  @ParameterizedTest
  @ValueSource(strings = {"cases", "expressions", "statements"})
  void rendersAsJinja2OrRefuses(String resource) {
    JsonNode all = RenderedByJinja2.read("jinja/" + resource + ".json");
    Map<String, Object> values = RenderedByJinja2.values(all.get("values"));
    SoftAssertions softly = new SoftAssertions();
    int rendered = 0;
    for (JsonNode one : all.get("cases")) {
      String template = one.get("template").stringValue();
      if (one.has("error") || one.has("refused")) {
        softly
            .assertThat(catchThrowable(() -> render(template, values)))
            .as(template)
            .isInstanceOf(TemplateException.class);
      } else {
        softly
            .assertThat(attempt(template, values))
            .as(template)
            .isEqualTo(one.get("expected").stringValue());
        rendered++;
      }
    }
    softly.assertAll();
    assertThat(rendered).isGreaterThan(250);
  }

  private static String attempt(String template, Map<String, Object> values) {
    try {
      return render(template, values);
    } catch (TemplateException e) {
      return e.toString();
    }
  }

  /** The comparison above must see a rendering that differs. */
  @Test
  void canaryADifferenceIsSeen() {
    assertThat(attempt("{{ 1 == 1 }}", Map.of())).isEqualTo("True").isNotEqualTo("true");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ ''.getClass() }}",
        "{{ x.class.name }}",
        "{{ x.getClass().forName('java.lang.Runtime') }}",
        "{{ x.__class__.__mro__ }}",
        "{{ range.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ x.format(x) }}",
        "{% include '/etc/hostname' %}",
        "{% import 'os' as os %}",
        "{{ loop.items }}{% for i in [1] %}{{ loop.items }}{% endfor %}",
        "{{ self }}",
      })
  void nothingButValuesCanBeReached(String template) {
    assertThatThrownBy(() -> render(template, Map.of("x", "text", "messages", List.of())))
        .isInstanceOf(TemplateException.class);
  }

  @Timeout(20)
  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 2000000 }}",
        "{{ range(100001) | list }}",
        "{% set ns = namespace(x='x') %}{% for i in range(50) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(50) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(50) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(50) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% for i in range(99999) %}{{ '0123456789abcdef' }}{% endfor %}",
        "{{ ('x' * 1000000).replace('x', 'y' * 1000) }}",
        "{{ ('x' * 1000000).replace('', 'y' * 1000) }}",
        "{{ ('x' * 1000).join(('y' * 10000) | list) }}",
        "{{ [1] * 100000000 }}",
        "{{ 'a' | indent(900000000) }}",
        "{{ [1, 2] | tojson(indent=900000000) }}",
      })
  void aTemplateThatTakesTooMuchIsStopped(String template) {
    assertThatThrownBy(() -> render(template)).isInstanceOf(TemplateException.class);
  }

  @Test
  void aTemplateThatIsNestedTooDeeplyIsRefused() {
    for (String template :
        List.of(
            "{{ " + "(".repeat(100_000) + "1" + ")".repeat(100_000) + " }}",
            "{{ " + "not ".repeat(100_000) + "1 }}",
            "{{ " + "-".repeat(100_000) + "1 }}",
            "{{ 1" + " + 1".repeat(200_000) + " }}",
            "{{ x" + ".a".repeat(200_000) + " }}",
            "{{ x" + "|string".repeat(100_000) + " }}",
            "{% if 1 %}".repeat(90_000))) {
      assertThatThrownBy(() -> render(template))
          .as(template.substring(0, 40))
          .isInstanceOf(TemplateException.class);
    }
  }

  @Test
  void anInterruptedThreadStops() {
    Thread.currentThread().interrupt();
    try {
      assertThatThrownBy(() -> render("{% for i in range(99999) %}{{ i }}{% endfor %}"))
          .isInstanceOf(TemplateException.class)
          .hasMessageContaining("interrupted");
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
  }

  @Test
  void anErrorNamesItsLine() {
    assertThatThrownBy(() -> render("a\n\n{{ 'x'\n + 1 }}"))
        .isInstanceOfSatisfying(
            TemplateException.class,
            e -> {
              assertThat(e.line()).isEqualTo(4);
              assertThat(e).hasMessage("a str + an int is no operation");
            });
    assertThatThrownBy(() -> Template.parse("{# c\n #}\n{% if x %}"))
        .isInstanceOfSatisfying(
            TemplateException.class,
            e -> assertThat(e).hasMessageContaining("{% elif or else or endif %} must be"));
  }

  @Test
  void whatATemplateRaisesIsToldApart() {
    assertThatThrownBy(() -> render("{{ raise_exception('no ' ~ 1) }}"))
        .isInstanceOfSatisfying(
            TemplateException.class,
            e -> {
              assertThat(e.isRaised()).isTrue();
              assertThat(e).hasMessage("no 1");
            });
  }

  @Test
  void newlinesOfEveryKindAreOne() {
    assertThat(render("a\r\nb\rc\n{% if true %}\r\nd\r\n{% endif %}\r\n"))
        .isEqualTo("a\nb\nc\nd\n");
  }

  /** What a rendering may not change. */
  @Test
  void theValuesStayAsTheyAre() {
    Map<String, Object> values = Map.of("m", List.of(Map.of("a", 1L)));
    Template template = Template.parse("{% set m = 1 %}{{ m }}");
    assertThat(template.render(values, RenderedByJinja2.NOW)).isEqualTo("1");
    assertThat(template.render(values, RenderedByJinja2.NOW)).isEqualTo("1");
  }
}
