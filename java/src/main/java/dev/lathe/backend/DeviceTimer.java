package dev.lathe.backend;

/** Measures what a device takes for the operations between two calls, by the device's own clock. */
public interface DeviceTimer extends AutoCloseable {
  /** Starts behind all that was asked for before. */
  void start();

  /** Waits for what was asked for since {@link #start}, and says what it took. */
  long stopNanos();

  @Override
  void close();
}
