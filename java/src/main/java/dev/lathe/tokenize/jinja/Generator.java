package dev.lathe.tokenize.jinja;

import java.util.List;

/**
 * What {@code map}, {@code select} and their like give: true even when it is empty, without a
 * length, and gone when it was gone through once. A second time is an error here; in Python it is
 * empty.
 */
final class Generator {
  private List<Object> items;

  Generator(List<Object> items) {
    this.items = items;
  }

  List<Object> take() {
    if (items == null) {
      throw new TemplateException(
          "goes twice through what a filter gives only once; '| list' keeps it");
    }
    List<Object> taken = items;
    items = null;
    return taken;
  }
}
