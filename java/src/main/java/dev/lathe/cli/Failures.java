package dev.lathe.cli;

import dev.lathe.error.LatheException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.concurrent.CancellationException;

/** What a failure looks like to a user: one line on stderr and an exit code. */
final class Failures {
  private Failures() {}

  /** Prints the one line, and with {@code debug} the stack trace under it. */
  static int report(Throwable failure, PrintStream err, boolean debug) {
    Failure told = explain(failure);
    err.println("lathe: " + oneLine(told.message()));
    if (debug) {
      failure.printStackTrace(err);
    }
    return told.exitCode();
  }

  /** The message without line breaks, which libraries put into theirs. */
  static String oneLine(String message) {
    return message == null ? "" : message.strip().replaceAll("\\s*\\R\\s*", "; ");
  }

  record Failure(int exitCode, String message) {}

  static Failure explain(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof InterruptedException
          || cause instanceof ClosedByInterruptException
          || cause instanceof InterruptedIOException
          || cause instanceof CancellationException) {
        return new Failure(Interrupt.EXIT_CODE, "interrupted");
      }
    }
    return switch (failure) {
      case LatheException e -> new Failure(e.exitCode(), e.getMessage());
      case UncheckedIOException e -> explain(e.getCause());
      case IOException e -> explainIo(e);
      case OutOfMemoryError e ->
          new Failure(
              LatheException.FAILED,
              "out of memory: %s. The Java heap may take %,d MB; more with LATHE_JAVA_OPTS=-Xmx8g,"
                      .formatted(e.getMessage(), Runtime.getRuntime().maxMemory() >> 20)
                  + " for one. Weights and caches lie outside it: a smaller --batch or model needs"
                  + " less of those");
      case LinkageError e ->
          new Failure(
              LatheException.FAILED,
              "a library could not be loaded: %s. 'lathe doctor' says what works here; --debug"
                      .formatted(describe(e))
                  + " prints the stack trace");
      default ->
          new Failure(
              LatheException.FAILED,
              "this is a bug in Lathe: %s. Run it again with --debug for the stack trace, and report"
                      .formatted(describe(failure))
                  + " it with the command");
    };
  }

  private static Failure explainIo(IOException failure) {
    String message = String.valueOf(failure.getMessage());
    if (message.contains("No space left") || message.contains("Disk quota")) {
      return new Failure(
          LatheException.FAILED,
          message + ": the disk is full; nothing half-written was left at the place of the output");
    }
    return switch (failure) {
      case NoSuchFileException e ->
          new Failure(LatheException.INVALID, e.getFile() + ": there is no such file");
      case FileNotFoundException e -> new Failure(LatheException.INVALID, message);
      case FileAlreadyExistsException e ->
          new Failure(
              LatheException.INVALID,
              e.getFile() + ": exists already; outputs go to a new folder (--out)");
      case NotDirectoryException e ->
          new Failure(LatheException.INVALID, e.getFile() + ": is not a folder");
      case AccessDeniedException e ->
          new Failure(LatheException.FAILED, e.getFile() + ": access denied");
      case FileSystemException e -> new Failure(LatheException.FAILED, message);
      default -> new Failure(LatheException.FAILED, "reading or writing failed: " + message);
    };
  }

  private static String describe(Throwable failure) {
    String message = failure.getMessage();
    return failure.getClass().getSimpleName() + (message == null ? "" : ": " + message);
  }
}
