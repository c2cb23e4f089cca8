package dev.lathe.backend;

/**
 * Records what a device does and where the host waits for it, by the device's own clock. Recording
 * costs time on the device: two marks for everything that is recorded, which also keep neighbours
 * from overlapping. Operations that are replayed ({@link Backend#replayable}) are recorded as one.
 */
public interface DeviceRecorder extends AutoCloseable {
  /** How much of what the device does is recorded; waits always are. */
  enum Detail {
    /** Every kernel, library call, copy and replay. */
    LAUNCHES,
    /**
     * Replays, and kernels and library calls outside of them, but no copies: a few marks a step.
     */
    STEPS
  }

  /**
   * Begins to record; waits for the device.
   *
   * @throws IllegalStateException if it records already
   */
  void start(Detail detail);

  /** Launches recorded since {@link #start}: tells whose launches are whose. */
  int launches();

  /** Ends recording: waits for the device, and says what was recorded. */
  DeviceRecord stop();

  @Override
  void close();
}
