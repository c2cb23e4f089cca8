package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord.Kind;

/**
 * Is told of everything that is put on a context's stream, and of every place where the host waits
 * for the device. {@link #NONE} listens by default: calls that do nothing, with arguments that are
 * there already, which the JIT leaves out. During a capture nobody is told: what is captured does
 * not run yet.
 */
interface LaunchListener {
  LaunchListener NONE =
      new LaunchListener() {
        @Override
        public void before(
            Kind kind,
            String name,
            Arithmetic arithmetic,
            long gridX,
            int gridY,
            int gridZ,
            int threads,
            long bytes) {}

        @Override
        public void after() {}

        @Override
        public void waits(String where) {}

        @Override
        public void waited() {}
      };

  /**
   * The next call puts this on the stream.
   *
   * @param gridX blocks; 0 with the other dimensions where it is no kernel of ours
   * @param threads of a block
   * @param bytes that a copy moves, else 0
   */
  void before(
      Kind kind,
      String name,
      Arithmetic arithmetic,
      long gridX,
      int gridY,
      int gridZ,
      int threads,
      long bytes);

  /** It is on the stream. Not called where the driver refused. */
  void after();

  /** The host is about to wait. */
  void waits(String where);

  /** It goes on. Not called where the wait failed. */
  void waited();

  /** Something that has no grid. */
  default void before(Kind kind, String name, Arithmetic arithmetic, long bytes) {
    before(kind, name, arithmetic, 0, 0, 0, 0, bytes);
  }
}
