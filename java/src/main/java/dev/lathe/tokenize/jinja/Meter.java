package dev.lathe.tokenize.jinja;

/**
 * What one rendering may take: text out, steps (a node evaluated, an element or 16 characters
 * copied), nested calls, time. It is asked at every step, so that nothing runs past it.
 */
public final class Meter {
  /** Far beyond a context of a million tokens. */
  static final int MOST_CHARACTERS = 1 << 20;

  static final long MOST_STEPS = 1_000_000;
  static final int MOST_CALLS = 64;
  private static final long MOST_NANOS = 2_000_000_000L;
  private static final int CHARACTERS_PER_STEP = 16;

  private final long began = System.nanoTime();
  private long steps;
  private long checked;
  private int calls;

  void step() {
    steps(1);
  }

  /** Steps for so many elements that are copied or looked at. */
  void steps(long count) {
    steps += count;
    if (steps > MOST_STEPS) {
      throw new TemplateException("takes more than %d steps".formatted(MOST_STEPS));
    }
    if (steps - checked > 1024) {
      checked = steps;
      if (System.nanoTime() - began > MOST_NANOS) {
        throw new TemplateException(
            "takes longer than %d seconds".formatted(MOST_NANOS / 1_000_000_000));
      }
      if (Thread.currentThread().isInterrupted()) {
        throw new TemplateException("was interrupted");
      }
    }
  }

  /** A text of so many characters that is made. */
  String text(String text) {
    characters(text.length());
    return text;
  }

  /** To be asked before a text of so many characters is made. */
  void characters(long count) {
    if (count > MOST_CHARACTERS) {
      throw new TemplateException(
          "makes a text of more than %d characters".formatted(MOST_CHARACTERS));
    }
    steps(1 + count / CHARACTERS_PER_STEP);
  }

  void enter() {
    if (++calls > MOST_CALLS) {
      throw new TemplateException("calls macros more than %d deep".formatted(MOST_CALLS));
    }
  }

  void leave() {
    calls--;
  }
}
