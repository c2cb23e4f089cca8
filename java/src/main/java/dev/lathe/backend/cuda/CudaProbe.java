package dev.lathe.backend.cuda;

/**
 * Whether CUDA can be used here, and on what.
 *
 * @param usable whether a device is there and answers
 * @param reason why, in words for a user; where it is usable, what was chosen
 * @param deviceName the device's own name; empty where none is usable
 * @param memoryBytes the device's memory; 0 where none is usable
 * @param emulated whether kernels run on the emulated GPU
 * @param computeCapability such as {@code 9.0}; empty where none is usable
 * @param driverVersion the CUDA version that the driver speaks, such as {@code 12.6}; empty where
 *     there is no driver
 */
public record CudaProbe(
    boolean usable,
    String reason,
    String deviceName,
    long memoryBytes,
    boolean emulated,
    String computeCapability,
    String driverVersion) {

  static CudaProbe unusable(String reason, boolean emulated, String driverVersion) {
    return new CudaProbe(false, reason, "", 0, emulated, "", driverVersion);
  }
}
