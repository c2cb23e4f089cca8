package dev.lathe.tokenize.jinja;

import java.util.List;

/** A list that is written with parentheses and equals no list. */
record Tuple(List<Object> items) {
  static Tuple of(Object... items) {
    return new Tuple(java.util.Arrays.asList(items));
  }
}
