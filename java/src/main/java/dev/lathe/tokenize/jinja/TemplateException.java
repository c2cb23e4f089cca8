package dev.lathe.tokenize.jinja;

/** A template that is wrong, does what is not rendered here, or asked for an error. */
public final class TemplateException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Whether the template itself raised it, with {@code raise_exception}. */
  private final boolean raised;

  private int line;

  TemplateException(String message) {
    this(message, false);
  }

  TemplateException(String message, boolean raised) {
    super(message);
    this.raised = raised;
  }

  static TemplateException at(int line, String message) {
    return new TemplateException(message).withLine(line);
  }

  /** The innermost place counts. */
  TemplateException withLine(int number) {
    if (line == 0) {
      line = number;
    }
    return this;
  }

  public boolean isRaised() {
    return raised;
  }

  /** From 1; 0 where it is not known. */
  public int line() {
    return line;
  }
}
