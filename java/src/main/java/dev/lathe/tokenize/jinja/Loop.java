package dev.lathe.tokenize.jinja;

import java.util.List;

/** What {@code loop} is within a loop. */
final class Loop {
  private final List<Object> items;
  private final Meter meter;
  int index;

  Loop(List<Object> items, Meter meter) {
    this.items = items;
    this.meter = meter;
  }

  /** A field by its name; null where there is none. */
  Object field(String name) {
    return switch (name) {
      case "index" -> index + 1L;
      case "index0" -> (long) index;
      case "revindex" -> (long) items.size() - index;
      case "revindex0" -> (long) items.size() - index - 1;
      case "first" -> index == 0;
      case "last" -> index == items.size() - 1;
      case "length" -> (long) items.size();
      case "previtem" ->
          index == 0 ? new Undefined("there is no previous item") : items.get(index - 1);
      case "nextitem" ->
          index == items.size() - 1 ? new Undefined("there is no next item") : items.get(index + 1);
      case "cycle" ->
          (Function)
              given -> {
                meter.step();
                if (given.positional().isEmpty() || !given.named().isEmpty()) {
                  throw new TemplateException("loop.cycle needs values");
                }
                return given.positional().get(index % given.positional().size());
              };
      default -> throw new TemplateException("'loop.%s' is not rendered here".formatted(name));
    };
  }
}
