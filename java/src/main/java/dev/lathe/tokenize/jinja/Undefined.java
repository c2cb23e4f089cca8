package dev.lathe.tokenize.jinja;

/**
 * What is not there: written as nothing, false, empty; everything else that is done with it is an
 * error.
 *
 * @param what says what is not there
 */
record Undefined(String what) {
  static Undefined name(String name) {
    return new Undefined("'" + name + "' is undefined");
  }

  static Undefined attribute(Object of, Object name) {
    return new Undefined("%s has no attribute or element %s".formatted(Values.type(of), name));
  }

  TemplateException error() {
    return new TemplateException(what);
  }
}
