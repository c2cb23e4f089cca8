package dev.lathe.tokenize.jinja;

import java.util.List;

/** What {@code items()}, {@code keys()}, {@code values()} and {@code range()} give: no list. */
record View(Kind kind, List<Object> items) {
  enum Kind {
    ITEMS("items"),
    KEYS("keys"),
    VALUES("values"),
    RANGE("range");

    final String word;

    Kind(String word) {
      this.word = word;
    }
  }
}
