package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Statement.Signature;
import dev.lathe.tokenize.jinja.Statement.Target;
import dev.lathe.tokenize.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Jinja2's grammar of statements, as far as they are rendered here. */
final class TemplateParser {
  private static final Set<String> ENDS_OF_IF = Set.of("elif", "else", "endif");

  private final TokenStream stream;
  private final ExpressionParser expressions;

  private TemplateParser(TokenStream stream) {
    this.stream = stream;
    this.expressions = new ExpressionParser(stream);
  }

  static List<Statement> parse(String template) {
    return new TemplateParser(new TokenStream(Lexer.tokens(template))).body(Set.of(), false);
  }

  /** Statements up to a tag that begins with one of {@code ends}, whose name is the next token. */
  private List<Statement> body(Set<String> ends, boolean loop) {
    stream.enter();
    List<Statement> body = new ArrayList<>();
    while (true) {
      Token token = stream.next();
      switch (token.kind()) {
        case DATA -> body.add(new Statement.Data(token.value()));
        case VARIABLE_BEGIN -> {
          body.add(print(token.line()));
          stream.expect(Kind.VARIABLE_END, "}}");
        }
        case BLOCK_BEGIN -> {
          if (stream.current().kind() == Kind.NAME && ends.contains(stream.current().value())) {
            stream.leave();
            return body;
          }
          body.add(statement(loop));
          stream.expect(Kind.BLOCK_END, "%}");
        }
        default -> {
          if (!ends.isEmpty()) {
            throw TemplateException.at(
                token.line(),
                "the template ends where {% "
                    + String.join(" or ", new TreeSet<>(ends))
                    + " %} must be");
          }
          stream.leave();
          return body;
        }
      }
    }
  }

  private List<Statement> body(String end, boolean loop) {
    stream.expect(Kind.BLOCK_END, "%}");
    List<Statement> body = body(Set.of(end), loop);
    stream.expectName(end);
    return body;
  }

  /** {@code | safe} at the end only says that nothing is to be escaped, which nothing is. */
  private Statement print(int line) {
    Expression value = expressions.tuple(true, false, "");
    return new Statement.Print(
        line,
        value instanceof Expression.Filter filter && filter.name().equals("safe")
            ? filter.of()
            : value);
  }

  private Statement statement(boolean loop) {
    Token tag = stream.expect(Kind.NAME, "the name of a tag");
    int line = tag.line();
    return switch (tag.value()) {
      case "if" -> ifs(loop);
      case "for" -> loop(line);
      case "set" -> set(line, loop);
      case "macro" -> {
        String name = stream.expectName();
        yield new Statement.Macro(line, name, signature(), body("endmacro", false));
      }
      case "call" -> call(line);
      case "filter" -> {
        Expression.Filter filter = expressions.filter(line, null);
        while (stream.skipOperator("|")) {
          filter = expressions.filter(line, filter);
        }
        yield new Statement.FilterBlock(line, filter, body("endfilter", false));
      }
      case "with" -> with(line, loop);
      case "generation" -> new Statement.Body(body("endgeneration", false));
      case "print" -> print(line);
      case "break", "continue" -> {
        if (!loop) {
          throw TemplateException.at(line, "{% " + tag.value() + " %} outside a loop");
        }
        yield tag.value().equals("break") ? new Statement.Break() : new Statement.Continue();
      }
      default ->
          throw TemplateException.at(
              line, "{%% %s %%} is not a tag that is rendered here".formatted(tag.value()));
    };
  }

  private Statement ifs(boolean loop) {
    List<Expression> tests = new ArrayList<>();
    List<List<Statement>> bodies = new ArrayList<>();
    List<Statement> otherwise = List.of();
    while (true) {
      tests.add(expressions.tuple(false, false, ""));
      stream.expect(Kind.BLOCK_END, "%}");
      bodies.add(body(ENDS_OF_IF, loop));
      if (stream.skipName("elif")) {
        continue;
      }
      if (stream.skipName("else")) {
        otherwise = body("endif", loop);
      } else {
        stream.expectName("endif");
      }
      return new Statement.If(tests, bodies, otherwise);
    }
  }

  private Statement loop(int line) {
    Target target = target("in", false);
    stream.expectName("in");
    Expression in = expressions.tuple(false, false, "recursive");
    Expression filter = stream.skipName("if") ? expressions.expression() : null;
    if (stream.current().isName("recursive")) {
      throw TemplateException.at(line, "recursive loops are not rendered here");
    }
    stream.expect(Kind.BLOCK_END, "%}");
    List<Statement> body = body(Set.of("endfor", "else"), true);
    List<Statement> otherwise = List.of();
    if (stream.skipName("else")) {
      otherwise = body("endfor", false);
    } else {
      stream.expectName("endfor");
    }
    return new Statement.For(line, target, in, filter, body, otherwise);
  }

  private Statement set(int line, boolean loop) {
    Target target = target("", true);
    if (stream.skipOperator("=")) {
      return new Statement.Set(line, target, expressions.tuple(true, false, ""));
    }
    Expression.Filter filter = null;
    while (stream.skipOperator("|")) {
      filter = expressions.filter(line, filter);
    }
    return new Statement.SetBlock(line, target, filter, body("endset", loop));
  }

  private Statement call(int line) {
    Signature signature =
        stream.current().isOperator("(") ? signature() : new Signature(List.of(), List.of());
    if (!(expressions.expression() instanceof Expression.Call call)) {
      throw TemplateException.at(line, "{% call %} must call a macro");
    }
    return new Statement.CallBlock(line, signature, call, body("endcall", false));
  }

  private Statement with(int line, boolean loop) {
    List<Target> targets = new ArrayList<>();
    List<Expression> values = new ArrayList<>();
    while (stream.current().kind() != Kind.BLOCK_END) {
      if (!targets.isEmpty()) {
        stream.expectOperator(",");
      }
      targets.add(target("", false));
      stream.expectOperator("=");
      values.add(expressions.expression());
    }
    return new Statement.With(line, targets, values, body("endwith", loop));
  }

  private Signature signature() {
    List<String> parameters = new ArrayList<>();
    List<Expression> defaults = new ArrayList<>();
    stream.expectOperator("(");
    while (!stream.skipOperator(")")) {
      if (!parameters.isEmpty()) {
        stream.expectOperator(",");
      }
      parameters.add(storable(stream.expect(Kind.NAME, "a parameter")));
      if (stream.skipOperator("=")) {
        defaults.add(expressions.expression());
      } else if (!defaults.isEmpty()) {
        throw TemplateException.at(
            stream.line(), "a parameter without a default follows one with a default");
      }
    }
    return new Signature(parameters, defaults);
  }

  private Target target(String end, boolean fields) {
    List<Target> targets = new ArrayList<>();
    boolean several = false;
    while (targets.isEmpty() || !(stream.current().isName(end) || endsTarget())) {
      targets.add(oneTarget(fields));
      if (!stream.skipOperator(",")) {
        break;
      }
      several = true;
    }
    return several ? new Target.Several(targets) : targets.getFirst();
  }

  private boolean endsTarget() {
    return stream.current().isOperator("=")
        || stream.current().isOperator(")")
        || stream.current().kind() == Kind.BLOCK_END;
  }

  private Target oneTarget(boolean fields) {
    if (stream.skipOperator("(")) {
      stream.enter();
      Target inner = target("", fields);
      stream.leave();
      stream.expectOperator(")");
      return inner;
    }
    String name = storable(stream.expect(Kind.NAME, "a name to give a value to"));
    return fields && stream.skipOperator(".")
        ? new Target.Field(name, stream.expectName())
        : new Target.Name(name);
  }

  private static String storable(Token name) {
    if (Set.of("true", "false", "none", "True", "False", "None", "loop").contains(name.value())) {
      throw TemplateException.at(
          name.line(), "'%s' cannot be given a value".formatted(name.value()));
    }
    return name.value();
  }
}
