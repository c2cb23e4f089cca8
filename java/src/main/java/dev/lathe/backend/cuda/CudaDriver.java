package dev.lathe.backend.cuda;

import dev.lathe.backend.NativeLibraries;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * The CUDA driver of this process: the system's libcuda.so.1, or the emulated GPU's where {@code
 * LATHE_EMULATE_CUDA} or the system property {@code lathe.emulateCuda} asks for it.
 *
 * <p>JCuda's library needs a library by the name of libcuda.so.1. The dynamic linker takes one that
 * is loaded already, so the driver is loaded here before JCuda is touched, and no search path has
 * to be set. Which driver it is can't change after that.
 */
public final class CudaDriver {
  /** What runs kernels, and which build of them. */
  public enum Kind {
    /** An NVIDIA GPU, with the fatbins. */
    SYSTEM,
    /** The emulated GPU, every access checked: {@code 1}, {@code true} or {@code checked}. */
    EMULATED_CHECKED,
    /** The emulated GPU without checks, many times faster: {@code fast}. */
    EMULATED_FAST;

    public boolean emulated() {
      return this != SYSTEM;
    }

    static Kind of(String wanted) {
      return switch (wanted.toLowerCase(Locale.ROOT)) {
        case "", "0", "false" -> SYSTEM;
        case "1", "true", "checked" -> EMULATED_CHECKED;
        case "fast" -> EMULATED_FAST;
        default ->
            throw new IllegalArgumentException(
                "LATHE_EMULATE_CUDA (or -Dlathe.emulateCuda) is '"
                    + wanted
                    + "'; it has to be 0, 1 (checked) or fast");
      };
    }
  }

  /** The environment variable that asks for the emulated GPU. */
  public static final String EMULATE_VARIABLE = "LATHE_EMULATE_CUDA";

  private static final String LIBRARY = "libcuda.so.1";

  private CudaDriver() {}

  /** Which driver this process uses. */
  public static Kind kind() {
    return Loaded.KIND;
  }

  /** Looks for a device. Never throws for what a machine lacks: the reason says it. */
  public static CudaProbe probe() {
    if (Loaded.PROBLEM.isPresent()) {
      return CudaProbe.unusable(Loaded.PROBLEM.get(), kind().emulated(), "");
    }
    try {
      return probeLoaded();
    } catch (LinkageError e) {
      return CudaProbe.unusable(
          "JCuda's native library can't be loaded: " + e.getMessage(), kind().emulated(), "");
    }
  }

  /**
   * The image of one file of kernels for this driver, as {@code cuModuleLoadData} wants it.
   *
   * @param name the .cu file's name without its suffix, such as {@code rms_norm}
   * @throws IllegalStateException if it was not built; says why
   */
  public static byte[] moduleImage(String name) {
    Path file = NativeLibraries.locate(component(), moduleResource(name));
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new UncheckedIOException("can't read " + file, e);
    }
  }

  /** Why there are no kernels for this driver; empty where there are. */
  static Optional<String> whyNoModules() {
    return NativeLibraries.find(moduleResource("rms_norm")).isPresent()
        ? Optional.empty()
        : Optional.of("its kernels were not built: " + NativeLibraries.whyMissing(component()));
  }

  private static String component() {
    return kind().emulated() ? "emulator" : "cuda";
  }

  private static String moduleResource(String name) {
    return switch (kind()) {
      case SYSTEM -> "cuda/" + name + ".fatbin";
      case EMULATED_CHECKED -> "emulator/checked/" + name + ".so";
      case EMULATED_FAST -> "emulator/" + name + ".so";
    };
  }

  /**
   * Where device 0 is plugged in, such as {@code 0000:01:00.0}; empty where there is no device. The
   * name that other libraries know the device by, whatever CUDA numbers it.
   */
  static Optional<String> pciBusId() {
    if (!probe().usable()) {
      return Optional.empty();
    }
    CUdevice device = new CUdevice();
    String[] bus = new String[1];
    int result = JCudaDriver.cuDeviceGet(device, 0);
    result = result != 0 ? result : JCudaDriver.cuDeviceGetPCIBusId(bus, 32, device);
    return result == CUresult.CUDA_SUCCESS ? Optional.of(bus[0].trim()) : Optional.empty();
  }

  /**
   * The driver's version for a run's record, such as {@code 580.95.05, CUDA 13.0}; empty where no
   * driver answers.
   */
  public static Optional<String> version() {
    String cuda = probe().driverVersion();
    if (cuda.isEmpty()) {
      return Optional.empty();
    }
    Nvml.Opened sensors = Nvml.open();
    if (sensors.nvml().isEmpty()) {
      return Optional.of("CUDA " + cuda);
    }
    try (Nvml nvml = sensors.nvml().get()) {
      return Optional.of(nvml.driverVersion() + ", CUDA " + cuda);
    }
  }

  private static CudaProbe probeLoaded() {
    JCudaDriver.setExceptionsEnabled(false);
    boolean emulated = kind().emulated();
    int[] version = new int[1];
    JCudaDriver.cuDriverGetVersion(version);
    String driverVersion = version[0] / 1000 + "." + version[0] % 1000 / 10;
    int result = JCudaDriver.cuInit(0);
    if (result != CUresult.CUDA_SUCCESS) {
      return CudaProbe.unusable(
          LIBRARY + " answers " + CUresult.stringFor(result) + " to cuInit",
          emulated,
          driverVersion);
    }
    int[] count = new int[1];
    result = JCudaDriver.cuDeviceGetCount(count);
    if (result != CUresult.CUDA_SUCCESS || count[0] == 0) {
      return CudaProbe.unusable(
          "the driver has no device (" + CUresult.stringFor(result) + ")", emulated, driverVersion);
    }
    CUdevice device = new CUdevice();
    byte[] name = new byte[256];
    long[] bytes = new long[1];
    int[] major = new int[1];
    int[] minor = new int[1];
    result = JCudaDriver.cuDeviceGet(device, 0);
    result = result != 0 ? result : JCudaDriver.cuDeviceGetName(name, name.length, device);
    result = result != 0 ? result : JCudaDriver.cuDeviceTotalMem(bytes, device);
    result =
        result != 0
            ? result
            : attribute(
                major, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
    result =
        result != 0
            ? result
            : attribute(
                minor, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
    if (result != CUresult.CUDA_SUCCESS) {
      return CudaProbe.unusable(
          "device 0 answers " + CUresult.stringFor(result), emulated, driverVersion);
    }
    return new CudaProbe(
        true,
        emulated ? "LATHE_EMULATE_CUDA asks for the emulated GPU" : LIBRARY + " has a device",
        new String(name, StandardCharsets.UTF_8).replace("\0", ""),
        bytes[0],
        emulated,
        major[0] + "." + minor[0],
        driverVersion);
  }

  private static int attribute(int[] value, int attribute, CUdevice device) {
    return JCudaDriver.cuDeviceGetAttribute(value, attribute, device);
  }

  /** Loads the driver, once, when something first asks for it. */
  private static final class Loaded {
    static final Kind KIND = Kind.of(wanted());
    static final Optional<String> PROBLEM = load();

    private static String wanted() {
      String property = System.getProperty("lathe.emulateCuda");
      String variable = System.getenv(EMULATE_VARIABLE);
      return property != null ? property : variable != null ? variable : "";
    }

    private static Optional<String> load() {
      try {
        if (!KIND.emulated()) {
          SymbolLookup.libraryLookup(LIBRARY, Arena.global());
          return Optional.empty();
        }
        Optional<Path> emulator = NativeLibraries.find("emulator/" + LIBRARY);
        if (emulator.isEmpty()) {
          return Optional.of("no emulated GPU: " + NativeLibraries.whyMissing("emulator"));
        }
        SymbolLookup.libraryLookup(emulator.get(), Arena.global());
        return Optional.empty();
      } catch (IllegalArgumentException e) {
        return Optional.of(
            KIND.emulated()
                ? "the emulated GPU can't be loaded: " + e.getMessage()
                : LIBRARY + " is not installed");
      }
    }
  }
}
