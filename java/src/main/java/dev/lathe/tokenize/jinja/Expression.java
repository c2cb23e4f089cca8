package dev.lathe.tokenize.jinja;

import java.util.List;
import java.util.Map;

/** What has a value. */
sealed interface Expression {
  /** Where it stands, from 1. */
  int line();

  record Constant(int line, Object value) implements Expression {}

  record Name(int line, String name) implements Expression {}

  record ListOf(int line, List<Expression> items) implements Expression {}

  record TupleOf(int line, List<Expression> items) implements Expression {}

  record DictOf(int line, List<Expression> keys, List<Expression> values) implements Expression {}

  /** {@code a.b}: a method of Python's type, or else what lies under that key. */
  record Attribute(int line, Expression of, String name) implements Expression {}

  /** {@code a[b]}: what lies under that key. */
  record Item(int line, Expression of, Expression key) implements Expression {}

  /** {@code a[from:to:step]}; each null where it is left out. */
  record Slice(int line, Expression of, Expression from, Expression to, Expression step)
      implements Expression {}

  /** Arguments of a call, a filter or a test. */
  record Arguments(List<Expression> positional, Map<String, Expression> named) {
    static final Arguments NONE = new Arguments(List.of(), Map.of());
  }

  record Call(int line, Expression function, Arguments arguments) implements Expression {}

  /**
   * @param of null in a filter block, whose body it is
   */
  record Filter(int line, Expression of, String name, Arguments arguments) implements Expression {}

  record Test(int line, Expression of, String name, Arguments arguments) implements Expression {}

  record Unary(int line, String operator, Expression of) implements Expression {}

  record Binary(int line, String operator, Expression left, Expression right)
      implements Expression {}

  /** {@code first op operand op operand}: every neighbouring pair must hold. */
  record Compare(int line, Expression first, List<String> operators, List<Expression> operands)
      implements Expression {}

  record Concat(int line, List<Expression> parts) implements Expression {}

  /**
   * @param otherwise null where there is no else
   */
  record Conditional(int line, Expression test, Expression then, Expression otherwise)
      implements Expression {}
}
