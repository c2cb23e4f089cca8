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
          "backend cuda cannot run here: "
              + refusal(
                  probe.driverVersion(),
                  NativeLibraries.builtWith("cuda").orElse("no nvcc"),
                  String.valueOf(e.getMessage())),
          e);
    }
  }

  /**
   * Why a driver refuses modules. A driver runs what its own major version of CUDA or an older one
   * has built, so kernels of CUDA 13 need driver 580 or newer.
   *
   * @param speaks the CUDA version that the driver speaks
   * @param builtWith what built the modules: {@code nvcc 13.0}
   * @see <a href="https://docs.nvidia.com/deploy/cuda-compatibility/">CUDA compatibility</a>
   */
  static String refusal(String speaks, String builtWith, String error) {
    int built = major(builtWith.replaceFirst("^nvcc ", ""));
    String text =
        "the driver speaks CUDA %s and refuses kernels built with %s (%s)"
            .formatted(speaks, builtWith, error);
    if (built <= major(speaks)) {
      return text;
    }
    String driver = built == 13 ? "driver 580 or newer" : "a newer driver";
    return text + "; kernels of CUDA " + built + " need " + driver;
  }

  /** 0 where the text isn't a version. */
  private static int major(String version) {
    String number = version.replaceFirst("\\..*", "");
    return number.matches("\\d{1,4}") ? Integer.parseInt(number) : 0;
  }
}
