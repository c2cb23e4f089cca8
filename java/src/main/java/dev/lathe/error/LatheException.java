package dev.lathe.error;

/**
 * Something that a user can act on. The message names what was wrong, where, and what would be
 * right; the command line prints it without a stack trace and exits with {@link #exitCode()}.
 */
public class LatheException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Failed while running: disk full, out of memory, a kernel that did not finish. */
  public static final int FAILED = 1;

  /** What was asked for is wrong: usage, an unknown key, a broken file. */
  public static final int INVALID = 2;

  /** The backend that was asked for is not usable on this machine. */
  public static final int BACKEND_UNUSABLE = 3;

  /** A quality or service target was not met. */
  public static final int TARGET_MISSED = 4;

  private final int exitCode;

  public LatheException(int exitCode, String message) {
    super(message);
    this.exitCode = exitCode;
  }

  public LatheException(int exitCode, String message, Throwable cause) {
    super(message, cause);
    this.exitCode = exitCode;
  }

  public int exitCode() {
    return exitCode;
  }
}
