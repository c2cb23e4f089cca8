package dev.lathe.error;

/** The backend that was asked for cannot run here: the message says why and what would help. */
public class BackendUnusableException extends LatheException {
  private static final long serialVersionUID = 1L;

  public BackendUnusableException(String message) {
    super(BACKEND_UNUSABLE, message);
  }

  public BackendUnusableException(String message, Throwable cause) {
    super(BACKEND_UNUSABLE, message, cause);
  }
}
