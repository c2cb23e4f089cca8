package dev.lathe.backend;

import java.util.List;

/**
 * What a device did while it was recorded. All times are nanoseconds on the host's clock ({@link
 * System#nanoTime}); those of launches were read from the device's clock and moved there.
 *
 * @param launches in the order in which they ran, one after another
 * @param waits of the host for the device, in the order in which they began
 * @param emptyNanos what a launch that does nothing would be recorded with; part of each {@code
 *     nanos}
 * @param clockErrorNanos how far a launch's time may lie from its place on the host's clock;
 *     durations and gaps, which the device's clock alone gives, do not have this error
 */
public record DeviceRecord(
    List<Launch> launches, List<Wait> waits, long emptyNanos, long clockErrorNanos) {
  public DeviceRecord {
    launches = List.copyOf(launches);
    waits = List.copyOf(waits);
  }

  /** What was put on the device. */
  public enum Kind {
    KERNEL,
    /** A call of a library, which launches what it likes. */
    LIBRARY,
    COPY,
    /** Operations that were just captured, replayed for the first time. */
    CAPTURED,
    /** Operations that were captured at some earlier call. */
    REPLAYED
  }

  /**
   * Blocks and threads, as the kernel was launched.
   *
   * @param x, y, z blocks; all 0 where a library chose
   * @param threads of a block
   */
  public record Grid(long x, int y, int z, int threads) {
    public static final Grid UNKNOWN = new Grid(0, 0, 0, 0);
  }

  /**
   * One launch.
   *
   * @param name the kernel's, the library's function, {@code upload}, {@code download}, {@code
   *     clear} or {@code graph}
   * @param arithmetic that the kernel multiplies with
   * @param bytes that a copy moves; 0 for others
   */
  public record Launch(
      Kind kind,
      String name,
      Arithmetic arithmetic,
      Grid grid,
      long bytes,
      long startNanos,
      long nanos) {
    public long endNanos() {
      return startNanos + nanos;
    }

    /** Whether the device computes, rather than copies. */
    public boolean computes() {
      return kind != Kind.COPY;
    }
  }

  /**
   * The host stood still until the device, or the driver, had done something.
   *
   * @param where why it waited: {@code download}, {@code synchronize}, {@code allocate} …
   */
  public record Wait(String where, long startNanos, long nanos) {}
}
