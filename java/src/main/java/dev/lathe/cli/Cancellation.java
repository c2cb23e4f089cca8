package dev.lathe.cli;

import java.util.concurrent.CancellationException;

/** The places between two pieces of work where Ctrl-C is heard. */
final class Cancellation {
  private Cancellation() {}

  /** Ends the verb if Ctrl-C was pressed. */
  static void check() {
    if (Thread.currentThread().isInterrupted()) {
      throw new CancellationException("interrupted");
    }
  }
}
