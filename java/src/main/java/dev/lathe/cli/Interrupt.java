package dev.lathe.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Ctrl-C: interrupts the thread that runs the verb and gives it time to unwind, so that what is
 * half-written is removed by the code that was writing it. The process exits with 130.
 */
final class Interrupt {
  /** 128 + SIGINT, as a shell reports it. */
  static final int EXIT_CODE = 130;

  /** More than a writer needs to delete its temporary folder. */
  private static final long PATIENCE_SECONDS = 10;

  private final CountDownLatch done = new CountDownLatch(1);
  private volatile boolean finished;

  private Interrupt() {}

  static Interrupt install(Thread worker) {
    Interrupt interrupt = new Interrupt();
    Runtime.getRuntime()
        .addShutdownHook(new Thread(() -> interrupt.unwind(worker), "lathe-interrupt"));
    return interrupt;
  }

  /**
   * The verb has ended: what runs the hooks now is the ordinary exit or a signal that came late.
   */
  void finished(int code) {
    finished = code != EXIT_CODE;
    done.countDown();
  }

  private void unwind(Thread worker) {
    if (finished) {
      return;
    }
    worker.interrupt();
    try {
      done.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
