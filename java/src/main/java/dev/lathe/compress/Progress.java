package dev.lathe.compress;

/** Hears how far a technique is. Called by the thread that applies it. */
@FunctionalInterface
public interface Progress {
  Progress SILENT = (what, done, total) -> {};

  /**
   * @param what the phase: {@code choosing weights} or {@code writing}
   * @param done bytes of this phase that are done
   * @param total bytes of this phase
   */
  void update(String what, long done, long total);
}
