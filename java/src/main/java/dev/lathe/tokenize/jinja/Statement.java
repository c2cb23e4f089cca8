package dev.lathe.tokenize.jinja;

import java.util.List;

/** What writes or does something. */
sealed interface Statement {
  record Data(String text) implements Statement {}

  record Print(int line, Expression value) implements Statement {}

  record If(List<Expression> tests, List<List<Statement>> bodies, List<Statement> otherwise)
      implements Statement {}

  /**
   * @param filter which elements; null for all
   */
  record For(
      int line,
      Target target,
      Expression in,
      Expression filter,
      List<Statement> body,
      List<Statement> otherwise)
      implements Statement {}

  record Set(int line, Target target, Expression value) implements Statement {}

  /** What the body writes becomes the value; {@code filter} may be null. */
  record SetBlock(int line, Target target, Expression.Filter filter, List<Statement> body)
      implements Statement {}

  /** Parameters without a default come first. */
  record Signature(List<String> parameters, List<Expression> defaults) {}

  record Macro(int line, String name, Signature signature, List<Statement> body)
      implements Statement {}

  record CallBlock(int line, Signature signature, Expression.Call call, List<Statement> body)
      implements Statement {}

  record FilterBlock(int line, Expression.Filter filter, List<Statement> body)
      implements Statement {}

  record With(int line, List<Target> targets, List<Expression> values, List<Statement> body)
      implements Statement {}

  /** A body with names of its own: {@code {% generation %}}. */
  record Body(List<Statement> body) implements Statement {}

  record Break() implements Statement {}

  record Continue() implements Statement {}

  /** What a value is given to. */
  sealed interface Target {
    record Name(String name) implements Target {}

    record Several(List<Target> targets) implements Target {}

    record Field(String namespace, String name) implements Target {}
  }
}
