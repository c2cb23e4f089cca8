package dev.lathe.error;

/** The input is wrong: the message names the file, the place in it and what would be right. */
public class InvalidInputException extends LatheException {
  private static final long serialVersionUID = 1L;

  public InvalidInputException(String message) {
    super(INVALID, message);
  }

  public InvalidInputException(String message, Throwable cause) {
    super(INVALID, message, cause);
  }
}
