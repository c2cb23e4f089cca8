package dev.lathe.measure;

/** Told how far a measurement is; called on the thread that measures, so it must be quick. */
@FunctionalInterface
public interface Progress {
  /** For measurements that nobody watches. */
  Progress NONE = (done, total) -> {};

  /**
   * Called after each unit of work.
   *
   * @param done units so far: documents, repetitions
   * @param total all of them
   */
  void done(long done, long total);
}
