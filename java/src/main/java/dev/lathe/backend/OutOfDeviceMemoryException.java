package dev.lathe.backend;

import dev.lathe.error.LatheException;

/**
 * A device has not the memory that was asked for. Whoever knows what the memory was for may say in
 * its own words what would fit.
 */
public class OutOfDeviceMemoryException extends LatheException {
  private static final long serialVersionUID = 1L;

  private final long freeBytes;

  /**
   * @param freeBytes what the device could still have given
   */
  public OutOfDeviceMemoryException(String message, long freeBytes) {
    super(FAILED, message);
    this.freeBytes = freeBytes;
  }

  public long freeBytes() {
    return freeBytes;
  }
}
