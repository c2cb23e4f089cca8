package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Expression.Arguments;
import dev.lathe.tokenize.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Jinja2's grammar of expressions, with its precedence. */
final class ExpressionParser {
  /** Names that Jinja2 defines and that are not rendered here; undefined would be wrong. */
  private static final Set<String> REFUSED =
      Set.of("varargs", "kwargs", "self", "lipsum", "cycler", "joiner", "_", "gettext", "ngettext");

  private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");
  private static final Set<String> SUMS = Set.of("+", "-");
  private static final Set<String> PRODUCTS = Set.of("*", "/", "//", "%");

  private final TokenStream stream;

  ExpressionParser(TokenStream stream) {
    this.stream = stream;
  }

  Expression expression() {
    return expression(true);
  }

  private Expression expression(boolean conditional) {
    stream.enter();
    Expression expression = conditional ? conditional() : or();
    stream.leave();
    return expression;
  }

  private Expression conditional() {
    Expression then = or();
    while (stream.current().isName("if")) {
      int line = stream.next().line();
      Expression test = or();
      Expression otherwise = stream.skipName("else") ? expression() : null;
      then = new Expression.Conditional(line, test, then, otherwise);
    }
    return then;
  }

  private Expression or() {
    Expression left = and();
    while (stream.current().isName("or")) {
      left = new Expression.Binary(stream.next().line(), "or", left, and());
    }
    return left;
  }

  private Expression and() {
    Expression left = not();
    while (stream.current().isName("and")) {
      left = new Expression.Binary(stream.next().line(), "and", left, not());
    }
    return left;
  }

  private Expression not() {
    if (!stream.current().isName("not")) {
      return compare();
    }
    int line = stream.next().line();
    stream.enter();
    Expression of = not();
    stream.leave();
    return new Expression.Unary(line, "not", of);
  }

  private Expression compare() {
    int line = stream.line();
    Expression first = sum();
    List<String> operators = new ArrayList<>();
    List<Expression> operands = new ArrayList<>();
    while (true) {
      if (stream.isOperatorOf(COMPARISONS)) {
        operators.add(stream.next().value());
      } else if (stream.skipName("in")) {
        operators.add("in");
      } else if (stream.current().isName("not") && stream.following().isName("in")) {
        stream.next();
        stream.next();
        operators.add("not in");
      } else {
        break;
      }
      operands.add(sum());
    }
    return operators.isEmpty() ? first : new Expression.Compare(line, first, operators, operands);
  }

  private Expression sum() {
    Expression left = concat();
    while (stream.isOperatorOf(SUMS)) {
      Token operator = stream.next();
      left = new Expression.Binary(operator.line(), operator.value(), left, concat());
    }
    return left;
  }

  private Expression concat() {
    int line = stream.line();
    List<Expression> parts = new ArrayList<>(List.of(product()));
    while (stream.skipOperator("~")) {
      parts.add(product());
    }
    return parts.size() == 1 ? parts.getFirst() : new Expression.Concat(line, parts);
  }

  private Expression product() {
    Expression left = power();
    while (stream.isOperatorOf(PRODUCTS)) {
      Token operator = stream.next();
      left = new Expression.Binary(operator.line(), operator.value(), left, power());
    }
    return left;
  }

  private Expression power() {
    Expression left = unary(true);
    while (stream.current().isOperator("**")) {
      left = new Expression.Binary(stream.next().line(), "**", left, unary(true));
    }
    return left;
  }

  private Expression unary(boolean filters) {
    Expression of;
    if (stream.isOperatorOf(SUMS)) {
      Token sign = stream.next();
      stream.enter();
      of = new Expression.Unary(sign.line(), sign.value(), unary(false));
      stream.leave();
    } else {
      of = primary();
    }
    of = postfix(of);
    return filters ? filters(of) : of;
  }

  private Expression primary() {
    Token token = stream.current();
    int line = token.line();
    return switch (token.kind()) {
      case NAME -> {
        stream.next();
        yield name(token);
      }
      case STRING -> {
        StringBuilder text = new StringBuilder();
        while (stream.current().kind() == Kind.STRING) {
          text.append(stream.next().value());
        }
        yield new Expression.Constant(line, text.toString());
      }
      case INTEGER, FLOAT -> new Expression.Constant(line, number(stream.next()));
      default -> {
        if (stream.skipOperator("(")) {
          Expression tuple = tuple(true, true, ")");
          stream.expectOperator(")");
          yield tuple;
        }
        if (stream.skipOperator("[")) {
          yield list(line);
        }
        if (stream.skipOperator("{")) {
          yield dict(line);
        }
        throw stream.unexpected("an expression");
      }
    };
  }

  private static Expression name(Token token) {
    if (REFUSED.contains(token.value())) {
      throw TemplateException.at(
          token.line(), "'%s' is not one of the names rendered here".formatted(token.value()));
    }
    return switch (token.value()) {
      case "true", "True" -> new Expression.Constant(token.line(), true);
      case "false", "False" -> new Expression.Constant(token.line(), false);
      case "none", "None" -> new Expression.Constant(token.line(), null);
      default -> new Expression.Name(token.line(), token.value());
    };
  }

  private static Object number(Token token) {
    String digits = token.value().replace("_", "");
    try {
      return token.kind() == Kind.FLOAT
          ? (Object) Double.valueOf(digits)
          : (Object) Long.valueOf(digits);
    } catch (NumberFormatException e) {
      throw TemplateException.at(token.line(), digits + " is beyond 64 bits");
    }
  }

  /** Expressions with commas between are a tuple, up to {@code end}: an operator or a name. */
  Expression tuple(boolean conditional, boolean mayBeEmpty, String end) {
    int line = stream.line();
    List<Expression> items = new ArrayList<>();
    boolean tuple = false;
    while (!isTupleEnd(end)) {
      items.add(expression(conditional));
      if (!stream.skipOperator(",")) {
        break;
      }
      tuple = true;
    }
    if (items.isEmpty() && !mayBeEmpty) {
      throw stream.unexpected("an expression");
    }
    return items.size() == 1 && !tuple ? items.getFirst() : new Expression.TupleOf(line, items);
  }

  private boolean isTupleEnd(String end) {
    Kind kind = stream.current().kind();
    return kind == Kind.VARIABLE_END
        || kind == Kind.BLOCK_END
        || stream.current().isOperator(")")
        || stream.current().isName(end);
  }

  private Expression list(int line) {
    List<Expression> items = new ArrayList<>();
    while (!stream.skipOperator("]")) {
      items.add(expression());
      if (!stream.current().isOperator("]")) {
        stream.expectOperator(",");
      }
    }
    return new Expression.ListOf(line, items);
  }

  private Expression dict(int line) {
    List<Expression> keys = new ArrayList<>();
    List<Expression> values = new ArrayList<>();
    while (!stream.skipOperator("}")) {
      keys.add(expression());
      stream.expectOperator(":");
      values.add(expression());
      if (!stream.current().isOperator("}")) {
        stream.expectOperator(",");
      }
    }
    return new Expression.DictOf(line, keys, values);
  }

  private Expression postfix(Expression start) {
    Expression of = start;
    while (true) {
      int line = stream.line();
      if (stream.skipOperator(".")) {
        of = attribute(line, of);
      } else if (stream.skipOperator("[")) {
        of = subscript(line, of);
      } else if (stream.current().isOperator("(")) {
        of = new Expression.Call(line, of, arguments());
      } else {
        return of;
      }
    }
  }

  private Expression attribute(int line, Expression of) {
    if (stream.current().kind() == Kind.INTEGER) {
      return new Expression.Item(line, of, new Expression.Constant(line, number(stream.next())));
    }
    return new Expression.Attribute(line, of, stream.expectName());
  }

  private Expression subscript(int line, Expression of) {
    Expression from = stream.current().isOperator(":") ? null : expression();
    if (stream.skipOperator("]")) {
      return new Expression.Item(line, of, from);
    }
    stream.expectOperator(":");
    Expression to = sliceEnds() ? null : expression();
    Expression step = null;
    if (stream.skipOperator(":")) {
      step = sliceEnds() ? null : expression();
    }
    stream.expectOperator("]");
    return new Expression.Slice(line, of, from, to, step);
  }

  private boolean sliceEnds() {
    return stream.current().isOperator(":") || stream.current().isOperator("]");
  }

  private Expression filters(Expression start) {
    Expression of = start;
    while (true) {
      int line = stream.line();
      if (stream.skipOperator("|")) {
        of = filter(line, of);
      } else if (stream.skipName("is")) {
        of = test(line, of);
      } else if (stream.current().isOperator("(")) {
        of = new Expression.Call(line, of, arguments());
      } else {
        return of;
      }
    }
  }

  /** What follows {@code |}. */
  Expression.Filter filter(int line, Expression of) {
    String name = stream.expectName();
    if (stream.current().isOperator(".")) {
      throw TemplateException.at(line, "there is no filter " + name + ".…");
    }
    Filters.requireKnown(name, line);
    Arguments arguments = stream.current().isOperator("(") ? arguments() : Arguments.NONE;
    return new Expression.Filter(line, of, name, arguments);
  }

  private Expression test(int line, Expression of) {
    boolean negated = stream.skipName("not");
    String name = stream.expectName();
    Tests.requireKnown(name, line);
    Token token = stream.current();
    Arguments arguments = Arguments.NONE;
    if (token.isOperator("(")) {
      arguments = arguments();
    } else if (beginsArgument(token)) {
      if (token.isName("is")) {
        throw TemplateException.at(line, "tests with 'is' cannot be chained");
      }
      arguments = new Arguments(List.of(postfix(primary())), Map.of());
    }
    Expression test = new Expression.Test(line, of, name, arguments);
    return negated ? new Expression.Unary(line, "not", test) : test;
  }

  private static boolean beginsArgument(Token token) {
    return switch (token.kind()) {
      case NAME -> !token.isName("else") && !token.isName("or") && !token.isName("and");
      case STRING, INTEGER, FLOAT -> true;
      default -> token.isOperator("[") || token.isOperator("{");
    };
  }

  private Arguments arguments() {
    stream.expectOperator("(");
    List<Expression> positional = new ArrayList<>();
    Map<String, Expression> named = new LinkedHashMap<>();
    while (!stream.skipOperator(")")) {
      int line = stream.line();
      if (stream.current().isOperator("*") || stream.current().isOperator("**")) {
        throw TemplateException.at(line, "arguments with * and ** are not rendered here");
      }
      if (stream.current().kind() == Kind.NAME && stream.following().isOperator("=")) {
        String name = stream.expectName();
        stream.expectOperator("=");
        if (named.put(name, expression()) != null) {
          throw TemplateException.at(line, "the argument '" + name + "' is given twice");
        }
      } else if (!named.isEmpty()) {
        throw TemplateException.at(line, "an argument without a name follows one with a name");
      } else {
        positional.add(expression());
      }
      if (!stream.current().isOperator(")")) {
        stream.expectOperator(",");
      }
    }
    return new Arguments(positional, named);
  }
}
