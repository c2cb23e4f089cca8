package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Statement.Target;
import dev.lathe.tokenize.jinja.Values.Given;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Carries out the statements of a template and computes its expressions. */
final class Interpreter {
  /** How a body ended. */
  private enum Ended {
    NORMALLY,
    BREAK,
    CONTINUE
  }

  private final Meter meter;
  private final Symbols symbols;
  private final Lookup lookup;
  private final Filters filters;
  private StringBuilder out = new StringBuilder();

  Interpreter(Meter meter, Symbols symbols) {
    this.meter = meter;
    this.symbols = symbols;
    this.lookup = new Lookup(meter);
    this.filters = new Filters(meter, lookup);
  }

  String render(List<Statement> template, Scope given) {
    run(template, inside(template, given));
    return out.toString();
  }

  /** The names of a body's own. */
  private Scope inside(List<Statement> body, Scope outer) {
    Scope scope = new Scope(outer);
    for (String name : symbols.undefinedIn(body)) {
      scope.put(name, Undefined.name(name));
    }
    return scope;
  }

  private void write(String text) {
    meter.characters(
        (long) out.length() + text.length() > Meter.MOST_CHARACTERS
            ? Meter.MOST_CHARACTERS + 1L
            : text.length());
    out.append(text);
  }

  private Ended run(List<Statement> body, Scope scope) {
    for (Statement statement : body) {
      meter.step();
      Ended ended = run(statement, scope);
      if (ended != Ended.NORMALLY) {
        return ended;
      }
    }
    return Ended.NORMALLY;
  }

  private Ended run(Statement statement, Scope scope) {
    switch (statement) {
      case Statement.Data data -> write(data.text());
      case Statement.Print print -> write(printed(print, scope));
      case Statement.If choice -> {
        return run(chosen(choice, scope), scope);
      }
      case Statement.For loop -> run(loop, scope);
      case Statement.Set set ->
          at(set.line(), () -> assign(set.target(), value(set.value(), scope), scope));
      case Statement.SetBlock set -> {
        Object text = captured(set.body(), inside(set.body(), scope));
        Object value = set.filter() == null ? text : filtered(set.filter(), text, scope);
        at(set.line(), () -> assign(set.target(), value, scope));
      }
      case Statement.Macro macro ->
          scope.put(
              macro.name(), new Macro(this, macro.name(), macro.signature(), macro.body(), scope));
      case Statement.CallBlock block -> {
        Macro caller = new Macro(this, "caller", block.signature(), block.body(), scope);
        write(PythonText.str(call(block.call(), scope, caller), meter));
      }
      case Statement.FilterBlock block ->
          write(
              PythonText.str(
                  filtered(
                      block.filter(), captured(block.body(), inside(block.body(), scope)), scope),
                  meter));
      case Statement.With with -> {
        Scope inner = inside(with.body(), scope);
        for (int i = 0; i < with.targets().size(); i++) {
          Object value = value(with.values().get(i), scope);
          Target target = with.targets().get(i);
          at(with.line(), () -> assign(target, value, inner));
        }
        return run(with.body(), inner);
      }
      case Statement.Body body -> {
        return run(body.body(), inside(body.body(), scope));
      }
      case Statement.Break _ -> {
        return Ended.BREAK;
      }
      case Statement.Continue _ -> {
        return Ended.CONTINUE;
      }
    }
    return Ended.NORMALLY;
  }

  private String printed(Statement.Print print, Scope scope) {
    Object value = value(print.value(), scope);
    return at(print.line(), () -> meter.text(PythonText.str(value, meter)));
  }

  private List<Statement> chosen(Statement.If choice, Scope scope) {
    for (int i = 0; i < choice.tests().size(); i++) {
      if (Values.truth(value(choice.tests().get(i), scope))) {
        return choice.bodies().get(i);
      }
    }
    return choice.otherwise();
  }

  private void run(Statement.For loop, Scope scope) {
    Object in = value(loop.in(), scope);
    List<?> all = at(loop.line(), () -> Values.iterate(in, meter));
    List<Object> items = new ArrayList<>();
    for (Object item : all) {
      if (loop.filter() != null) {
        Scope inner = new Scope(scope);
        at(loop.line(), () -> assign(loop.target(), item, inner));
        if (!Values.truth(value(loop.filter(), inner))) {
          continue;
        }
      }
      items.add(item);
    }
    Loop state = new Loop(items, meter);
    for (int i = 0; i < items.size(); i++) {
      Object item = items.get(i);
      Scope inner = inside(loop.body(), scope);
      state.index = i;
      inner.put("loop", state);
      at(loop.line(), () -> assign(loop.target(), item, inner));
      if (run(loop.body(), inner) == Ended.BREAK) {
        return;
      }
    }
    if (items.isEmpty()) {
      run(loop.otherwise(), inside(loop.otherwise(), scope));
    }
  }

  /** What a body writes. */
  private String captured(List<Statement> body, Scope scope) {
    StringBuilder outer = out;
    out = new StringBuilder();
    try {
      run(body, scope);
      return out.toString();
    } finally {
      out = outer;
    }
  }

  /** What a macro writes, with its parameters in {@code scope}. */
  String expand(List<Statement> body, Scope parameters) {
    meter.enter();
    String text = captured(body, inside(body, parameters));
    meter.leave();
    return text;
  }

  private Void assign(Target target, Object value, Scope scope) {
    switch (target) {
      case Target.Name(String name) -> scope.put(name, value);
      case Target.Field(String namespace, String name) -> {
        if (!(scope.get(namespace) instanceof Namespace space)) {
          throw new TemplateException(
              "'%s' is no namespace: its fields cannot be set".formatted(namespace));
        }
        space.fields.put(name, value);
      }
      case Target.Several(List<Target> targets) -> {
        List<?> values = Values.iterate(value, meter);
        if (values.size() != targets.size()) {
          throw new TemplateException(
              "%d values for %d names".formatted(values.size(), targets.size()));
        }
        for (int i = 0; i < targets.size(); i++) {
          assign(targets.get(i), values.get(i), scope);
        }
      }
    }
    return null;
  }

  private interface Work<T> {
    T done();
  }

  /** Errors get the line at which they happen. */
  private static <T> T at(int line, Work<T> work) {
    try {
      return work.done();
    } catch (TemplateException e) {
      throw e.withLine(line);
    }
  }

  Object value(Expression expression, Scope scope) {
    meter.step();
    try {
      return compute(expression, scope);
    } catch (TemplateException e) {
      throw e.withLine(expression.line());
    }
  }

  private Object compute(Expression expression, Scope scope) {
    return switch (expression) {
      case Expression.Constant constant -> constant.value();
      case Expression.Name name -> scope.get(name.name());
      case Expression.ListOf list -> values(list.items(), scope);
      case Expression.TupleOf tuple -> new Tuple(values(tuple.items(), scope));
      case Expression.DictOf dict -> {
        Map<Object, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < dict.keys().size(); i++) {
          Object key = Values.key(value(dict.keys().get(i), scope));
          map.put(key, value(dict.values().get(i), scope));
        }
        yield map;
      }
      case Expression.Attribute attribute ->
          lookup.attribute(value(attribute.of(), scope), attribute.name());
      case Expression.Item item -> lookup.item(value(item.of(), scope), value(item.key(), scope));
      case Expression.Slice slice ->
          lookup.slice(
              value(slice.of(), scope),
              optional(slice.from(), scope),
              optional(slice.to(), scope),
              optional(slice.step(), scope));
      case Expression.Call call -> call(call, scope, null);
      case Expression.Filter filter -> filtered(filter, value(filter.of(), scope), scope);
      case Expression.Test test -> {
        Object value = value(test.of(), scope);
        yield Tests.apply(test.name(), value, given(test.arguments(), scope), meter);
      }
      case Expression.Unary unary -> {
        Object value = value(unary.of(), scope);
        yield switch (unary.operator()) {
          case "not" -> !Values.truth(value);
          case "-" -> Arithmetic.negative(value);
          default -> Arithmetic.positive(value);
        };
      }
      case Expression.Binary binary -> binary(binary, scope);
      case Expression.Compare compare -> compare(compare, scope);
      case Expression.Concat concat -> {
        StringBuilder text = new StringBuilder();
        for (Expression part : concat.parts()) {
          text.append(meter.text(PythonText.str(value(part, scope), meter)));
        }
        yield meter.text(text.toString());
      }
      case Expression.Conditional choice -> {
        if (Values.truth(value(choice.test(), scope))) {
          yield value(choice.then(), scope);
        }
        yield choice.otherwise() == null
            ? new Undefined("an if without else has no value")
            : value(choice.otherwise(), scope);
      }
    };
  }

  private Object optional(Expression expression, Scope scope) {
    return expression == null ? null : value(expression, scope);
  }

  private List<Object> values(List<Expression> expressions, Scope scope) {
    List<Object> values = new ArrayList<>();
    for (Expression expression : expressions) {
      values.add(value(expression, scope));
    }
    return values;
  }

  private Given given(Expression.Arguments arguments, Scope scope) {
    Map<String, Object> named = new LinkedHashMap<>();
    List<Object> positional = values(arguments.positional(), scope);
    arguments.named().forEach((name, value) -> named.put(name, value(value, scope)));
    return new Given(positional, named);
  }

  /**
   * @param of the filter's value, where it has no expression of its own
   */
  private Object filtered(Expression.Filter filter, Object of, Scope scope) {
    Object value =
        filter.of() instanceof Expression.Filter inner && beginsWithoutValue(inner)
            ? filtered(inner, of, scope)
            : of;
    return at(
        filter.line(), () -> filters.apply(filter.name(), value, given(filter.arguments(), scope)));
  }

  private static boolean beginsWithoutValue(Expression.Filter filter) {
    return filter.of() == null
        || (filter.of() instanceof Expression.Filter inner && beginsWithoutValue(inner));
  }

  private Object binary(Expression.Binary binary, Scope scope) {
    Object left = value(binary.left(), scope);
    return switch (binary.operator()) {
      case "and" -> Values.truth(left) ? value(binary.right(), scope) : left;
      case "or" -> Values.truth(left) ? left : value(binary.right(), scope);
      default -> Arithmetic.apply(binary.operator(), left, value(binary.right(), scope), meter);
    };
  }

  private boolean compare(Expression.Compare compare, Scope scope) {
    Object left = value(compare.first(), scope);
    for (int i = 0; i < compare.operators().size(); i++) {
      Object right = value(compare.operands().get(i), scope);
      boolean holds =
          switch (compare.operators().get(i)) {
            case "==" -> Values.equal(left, right, meter);
            case "!=" -> !Values.equal(left, right, meter);
            case "<" -> Values.order(left, right, meter) < 0;
            case "<=" -> Values.order(left, right, meter) <= 0;
            case ">" -> Values.order(left, right, meter) > 0;
            case ">=" -> Values.order(left, right, meter) >= 0;
            case "in" -> Values.contains(right, left, meter);
            default -> !Values.contains(right, left, meter);
          };
      if (!holds) {
        return false;
      }
      left = right;
    }
    return true;
  }

  /**
   * @param caller what {@code caller()} is in the macro that is called; null outside a call block
   */
  private Object call(Expression.Call call, Scope scope, Macro caller) {
    Object function = value(call.function(), scope);
    if (function instanceof Undefined undefined) {
      throw undefined.error().withLine(call.line());
    }
    Given given = given(call.arguments(), scope);
    return at(
        call.line(),
        () -> {
          if (function instanceof Macro macro) {
            return macro.call(given, caller);
          }
          if (caller != null || !(function instanceof Function known)) {
            throw new TemplateException(Values.type(function) + " cannot be called");
          }
          return known.call(given);
        });
  }
}
