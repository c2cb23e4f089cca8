package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Token.Kind;
import java.util.List;
import java.util.Set;

/** The tokens of a template, one after another. */
final class TokenStream {
  /** Deep enough for any template, shallow enough for any stack. */
  private static final int MOST_NESTED = 100;

  private final List<Token> tokens;
  private int at;
  private int nested;

  TokenStream(List<Token> tokens) {
    this.tokens = tokens;
  }

  Token current() {
    return tokens.get(at);
  }

  Token following() {
    return tokens.get(Math.min(at + 1, tokens.size() - 1));
  }

  int line() {
    return current().line();
  }

  Token next() {
    Token token = current();
    if (token.kind() != Kind.END) {
      at++;
    }
    return token;
  }

  boolean skipOperator(String operator) {
    boolean is = current().isOperator(operator);
    if (is) {
      next();
    }
    return is;
  }

  boolean skipName(String name) {
    boolean is = current().isName(name);
    if (is) {
      next();
    }
    return is;
  }

  boolean isOperatorOf(Set<String> operators) {
    return current().kind() == Kind.OPERATOR && operators.contains(current().value());
  }

  String expectName() {
    return expect(Kind.NAME, "a name").value();
  }

  Token expect(Kind kind, String what) {
    if (current().kind() != kind) {
      throw unexpected(what);
    }
    return next();
  }

  void expectOperator(String operator) {
    if (!skipOperator(operator)) {
      throw unexpected("'" + operator + "'");
    }
  }

  void expectName(String name) {
    if (!skipName(name)) {
      throw unexpected("'" + name + "'");
    }
  }

  TemplateException unexpected(String wanted) {
    return TemplateException.at(line(), "%s where %s must be".formatted(current(), wanted));
  }

  void enter() {
    if (++nested > MOST_NESTED) {
      throw TemplateException.at(line(), "nested more than %d deep".formatted(MOST_NESTED));
    }
  }

  void leave() {
    nested--;
  }
}
