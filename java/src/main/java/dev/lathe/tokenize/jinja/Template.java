package dev.lathe.tokenize.jinja;

import java.time.LocalDateTime;
import java.util.List;
import java.util.Map;

/** A template that was read; rendering it changes nothing. */
public final class Template {
  private static final int MOST_CHARACTERS = 1 << 20;

  private final List<Statement> statements;
  private final Symbols symbols;

  private Template(List<Statement> statements) {
    this.statements = statements;
    this.symbols = Symbols.of(statements);
  }

  /**
   * Reads a template.
   *
   * @throws TemplateException if it is no template, or uses what is not rendered here
   */
  public static Template parse(String text) {
    if (text.length() > MOST_CHARACTERS) {
      throw new TemplateException(
          "has %d characters; at most %d are read".formatted(text.length(), MOST_CHARACTERS));
    }
    try {
      return new Template(TemplateParser.parse(text));
    } catch (StackOverflowError e) {
      throw tooDeep();
    }
  }

  /**
   * The text that the template makes.
   *
   * @param values what it is given by name: null, {@code Boolean}, {@code Long}, {@code Double},
   *     {@code String}, {@code List} and {@code Map} of them; not changed
   * @param now what {@code strftime_now} tells
   * @throws TemplateException if the template fails, raises an error, or takes more than it may
   */
  public String render(Map<String, ?> values, LocalDateTime now) {
    Meter meter = new Meter();
    Scope scope = new Scope(null);
    Globals.define(scope, meter, now);
    values.forEach(scope::put);
    try {
      return new Interpreter(meter, symbols).render(statements, scope);
    } catch (StackOverflowError e) {
      throw tooDeep();
    }
  }

  /** Chains such as {@code a + a + a} nest to the left, and lists may hold lists. */
  private static TemplateException tooDeep() {
    return new TemplateException("is nested too deeply");
  }
}
