package dev.lathe.tokenize.jinja;

import java.util.HashMap;
import java.util.Map;

/** Names and their values; what is not known here may be known outside. */
final class Scope {
  private final Scope outer;
  private final Map<String, Object> values = new HashMap<>();

  Scope(Scope outer) {
    this.outer = outer;
  }

  Object get(String name) {
    for (Scope scope = this; scope != null; scope = scope.outer) {
      if (scope.values.containsKey(name)) {
        return scope.values.get(name);
      }
    }
    return Undefined.name(name);
  }

  void put(String name, Object value) {
    values.put(name, value);
  }
}
