package dev.lathe.backend.cuda;

import dev.lathe.backend.NativeLibraries;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.LatheException;
import java.util.Optional;

/** Whether this build's kernels run on the device that is here, and why not. */
final class CudaUsability {
  /** Ampere: asynchronous copies and the shapes of mma that kernels use. */
  private static final int OLDEST_COMPUTE_CAPABILITY = 80;

  private CudaUsability() {}

  /** Why CUDA cannot run here; empty where it can, as far as is seen without running it. */
  static Optional<String> why() {
    CudaProbe probe = CudaDriver.probe();
    if (!probe.usable()) {
      return Optional.of(probe.reason());
    }
    return CudaDriver.whyNoModules().map(why -> probe.deviceName() + " is there, but " + why);
  }

  /**
   * Loads a module: the device may be too old for it, or the driver.
   *
   * @throws BackendUnusableException if the device cannot run this build's kernels
   */
  static void require(CudaContext context) {
    why()
        .ifPresent(why -> {
          throw new BackendUnusableException("backend cuda cannot run here: " + why);
        });
    CudaProbe probe = CudaDriver.probe();
    if (context.limits().computeCapability() < OLDEST_COMPUTE_CAPABILITY) {
      throw new BackendUnusableException(
          "backend cuda cannot run here: %s has compute capability %s, 8.0 is needed"
              .formatted(probe.deviceName(), probe.computeCapability()));
    }
    try (CudaKernels kernels = new CudaKernels(context)) {
      kernels.get("ceilings", "multiply_add");
    } catch (LatheException e) {
      throw new BackendUnusableException(
          ("backend cuda cannot run here: the driver speaks CUDA %s and refuses the kernels (%s);"
                  + " their state: %s")
              .formatted(probe.driverVersion(), e.getMessage(), NativeLibraries.whyMissing("cuda")),
          e);
    }
  }
}
