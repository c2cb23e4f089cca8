package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Statement.Target;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/**
 * Which names a body begins with as undefined, whatever the template is given under that name.
 * Jinja2 decides that when it compiles: a name that a body sets before it reads it is the body's
 * own from its beginning on, and a loop or macro in the body that reads it earlier finds nothing.
 * Names that are set in an {@code if} only, or that an outer body uses itself, are not affected.
 */
final class Symbols {
  private final IdentityHashMap<List<Statement>, Set<String>> undefined = new IdentityHashMap<>();

  static Symbols of(List<Statement> template) {
    Symbols symbols = new Symbols();
    symbols.body(template, Set.of(), Set.of());
    return symbols;
  }

  /** The names that {@code body} begins with as undefined. */
  Set<String> undefinedIn(List<Statement> body) {
    return undefined.getOrDefault(body, Set.of());
  }

  private void body(List<Statement> body, Set<String> outer, Set<String> parameters) {
    Set<String> known = new HashSet<>(parameters);
    Set<String> begun = new HashSet<>();
    collect(body, known, outer, begun, false);
    if (!begun.isEmpty()) {
      undefined.put(body, begun);
    }
    Set<String> visible = new HashSet<>(outer);
    visible.addAll(known);
    inner(body, visible);
  }

  /** Names that a body reads and sets itself, in the order in which Jinja2 looks at them. */
  private static void collect(
      List<Statement> body,
      Set<String> known,
      Set<String> outer,
      Set<String> begun,
      boolean conditional) {
    for (Statement statement : body) {
      switch (statement) {
        case Statement.Print print -> read(print.value(), known);
        case Statement.If choice -> {
          // A branch knows what came before, not what another branch does.
          Set<String> together = new HashSet<>(known);
          for (int i = 0; i < choice.tests().size(); i++) {
            read(choice.tests().get(i), known);
            together.addAll(known);
          }
          for (List<Statement> branch : choice.bodies()) {
            collect(branch, together, outer, begun, true);
          }
          collect(choice.otherwise(), together, outer, begun, true);
          known.addAll(together);
        }
        case Statement.For loop -> read(loop.in(), known);
        case Statement.Set set -> {
          read(set.value(), known);
          store(set.target(), known, outer, begun, conditional);
        }
        case Statement.SetBlock set -> {
          store(set.target(), known, outer, begun, conditional);
        }
        case Statement.Macro macro ->
            store(new Target.Name(macro.name()), known, outer, begun, conditional);
        case Statement.CallBlock block -> read(block.call(), known);
        case Statement.FilterBlock block -> read(block.filter(), known);
        case Statement.With with -> with.values().forEach(value -> read(value, known));
        case Statement.Data _, Statement.Body _, Statement.Break _, Statement.Continue _ -> {
          // They name nothing.
        }
      }
    }
  }

  private static void store(
      Target target, Set<String> known, Set<String> outer, Set<String> begun, boolean conditional) {
    switch (target) {
      case Target.Name(String name) -> {
        if (known.add(name) && !outer.contains(name) && !conditional) {
          begun.add(name);
        }
      }
      case Target.Field(String namespace, String _) -> known.add(namespace);
      case Target.Several(List<Target> targets) ->
          targets.forEach(one -> store(one, known, outer, begun, conditional));
    }
  }

  /** Bodies with names of their own. */
  private void inner(List<Statement> body, Set<String> visible) {
    for (Statement statement : body) {
      switch (statement) {
        case Statement.If choice -> {
          choice.bodies().forEach(branch -> inner(branch, visible));
          inner(choice.otherwise(), visible);
        }
        case Statement.For loop -> {
          Set<String> parameters = new HashSet<>(Set.of("loop"));
          names(loop.target(), parameters);
          body(loop.body(), visible, parameters);
          body(loop.otherwise(), visible, Set.of());
        }
        case Statement.SetBlock set -> body(set.body(), visible, Set.of());
        case Statement.Macro macro ->
            body(macro.body(), visible, Set.copyOf(macro.signature().parameters()));
        case Statement.CallBlock block ->
            body(block.body(), visible, Set.copyOf(block.signature().parameters()));
        case Statement.FilterBlock block -> body(block.body(), visible, Set.of());
        case Statement.With with -> {
          Set<String> parameters = new HashSet<>();
          with.targets().forEach(target -> names(target, parameters));
          body(with.body(), visible, parameters);
        }
        case Statement.Body block -> body(block.body(), visible, Set.of());
        case Statement.Data _,
            Statement.Print _,
            Statement.Set _,
            Statement.Break _,
            Statement.Continue _ -> {
          // Nothing lies within.
        }
      }
    }
  }

  private static void names(Target target, Set<String> names) {
    switch (target) {
      case Target.Name(String name) -> names.add(name);
      case Target.Field _ -> {
        // Belongs to its namespace.
      }
      case Target.Several(List<Target> targets) -> targets.forEach(one -> names(one, names));
    }
  }

  private static void read(List<Expression> expressions, Set<String> names) {
    expressions.forEach(expression -> read(expression, names));
  }

  private static void read(Expression expression, Set<String> names) {
    switch (expression) {
      case null -> {
        // Left out.
      }
      case Expression.Constant _ -> {
        // Names nothing.
      }
      case Expression.Name name -> names.add(name.name());
      case Expression.ListOf list -> read(list.items(), names);
      case Expression.TupleOf tuple -> read(tuple.items(), names);
      case Expression.DictOf dict -> {
        read(dict.keys(), names);
        read(dict.values(), names);
      }
      case Expression.Attribute attribute -> read(attribute.of(), names);
      case Expression.Item item -> {
        read(item.of(), names);
        read(item.key(), names);
      }
      case Expression.Slice slice -> {
        read(slice.of(), names);
        read(slice.from(), names);
        read(slice.to(), names);
        read(slice.step(), names);
      }
      case Expression.Call call -> {
        read(call.function(), names);
        read(call.arguments(), names);
      }
      case Expression.Filter filter -> {
        read(filter.of(), names);
        read(filter.arguments(), names);
      }
      case Expression.Test test -> {
        read(test.of(), names);
        read(test.arguments(), names);
      }
      case Expression.Unary unary -> read(unary.of(), names);
      case Expression.Binary binary -> {
        read(binary.left(), names);
        read(binary.right(), names);
      }
      case Expression.Compare compare -> {
        read(compare.first(), names);
        read(compare.operands(), names);
      }
      case Expression.Concat concat -> read(concat.parts(), names);
      case Expression.Conditional choice -> {
        read(choice.test(), names);
        read(choice.then(), names);
        read(choice.otherwise(), names);
      }
    }
  }

  private static void read(Expression.Arguments arguments, Set<String> names) {
    read(arguments.positional(), names);
    read(List.copyOf(arguments.named().values()), names);
  }
}
