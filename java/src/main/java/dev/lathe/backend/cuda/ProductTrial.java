package dev.lathe.backend.cuda;

import dev.lathe.backend.DeviceTimer;
import java.util.function.Supplier;

/**
 * Times two ways to multiply as a step of a model meets them: with weights that are not in the L2
 * cache, because a whole model went through it since.
 */
final class ProductTrial implements AutoCloseable {
  private static final int TIMED_RUNS = 5;

  /** Something that takes the place of everything else in the L2 cache. */
  interface Flush extends AutoCloseable {
    void fill();

    @Override
    void close();
  }

  /** The least of several runs of each. */
  record Times(double ownNanos, double cublasNanos) {}

  private final DeviceTimer timer;
  private final Supplier<Flush> newFlush;

  /**
   * @param newFlush opens what is closed again after a trial: a model may need the memory
   */
  ProductTrial(DeviceTimer timer, Supplier<Flush> newFlush) {
    this.timer = timer;
    this.newFlush = newFlush;
  }

  /**
   * Each in turn, so that a clock that changes changes for both.
   *
   * @throws dev.lathe.backend.OutOfDeviceMemoryException if there is no memory for the trial
   */
  Times time(Runnable own, Runnable cublas) {
    try (Flush flush = newFlush.get()) {
      // Loads modules, and lets workspaces grow.
      own.run();
      cublas.run();
      double ownNanos = Double.MAX_VALUE;
      double cublasNanos = Double.MAX_VALUE;
      for (int i = 0; i < TIMED_RUNS; i++) {
        ownNanos = Math.min(ownNanos, coldNanos(flush, own));
        cublasNanos = Math.min(cublasNanos, coldNanos(flush, cublas));
      }
      return new Times(ownNanos, cublasNanos);
    }
  }

  private double coldNanos(Flush flush, Runnable multiply) {
    flush.fill();
    timer.start();
    multiply.run();
    return timer.stopNanos();
  }

  @Override
  public void close() {
    timer.close();
  }
}
