package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Statement.Signature;
import dev.lathe.tokenize.jinja.Values.Given;
import java.util.List;

/** A body with parameters; it sees the names of the place where it was defined. */
final class Macro implements Function {
  private final Interpreter interpreter;
  private final String name;
  private final Signature signature;
  private final List<Statement> body;
  private final Scope defined;

  Macro(
      Interpreter interpreter,
      String name,
      Signature signature,
      List<Statement> body,
      Scope defined) {
    this.interpreter = interpreter;
    this.name = name;
    this.signature = signature;
    this.body = body;
    this.defined = defined;
  }

  @Override
  public Object call(Given given) {
    return call(given, null);
  }

  /**
   * @param caller the body of the call block; null where there is none
   */
  Object call(Given given, Macro caller) {
    List<String> parameters = signature.parameters();
    Object[] bound = given.bind(name, 0, parameters.toArray(String[]::new));
    Scope scope = new Scope(defined);
    scope.put("caller", caller == null ? new Undefined("there is no caller") : caller);
    int firstDefault = parameters.size() - signature.defaults().size();
    for (int i = 0; i < bound.length; i++) {
      String parameter = parameters.get(i);
      Object value = bound[i];
      if (Given.isAbsent(value)) {
        value =
            i < firstDefault
                ? new Undefined("parameter '" + parameter + "' was not given")
                : interpreter.value(signature.defaults().get(i - firstDefault), scope);
      }
      scope.put(parameter, value);
    }
    return interpreter.expand(body, scope);
  }
}
