package dev.lathe.backend.cuda;

import dev.lathe.backend.NativeLibraries;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.Optional;
import jcuda.jcublas.JCublas2;

/**
 * The cuBLAS that JCublas calls in this process. JCublas's library needs one by the name of
 * libcublas.so.12; like the driver's, it is loaded here before JCublas is touched, so that no
 * search path has to be set: on the emulated GPU its own, on a real one {@code native/cublas},
 * which forwards to the cuBLAS 12 or 13 that is installed.
 *
 * <p>Where none lies in a usual place, the variable {@code LATHE_CUBLAS} or the system property
 * {@code lathe.cublas} names the file, an installed toolkit's folder, or the {@code site-packages}
 * of a Python that has NVIDIA's packages.
 */
public final class CublasLibrary {
  private static final String LIBRARY = "libcublas.so.12";

  private CublasLibrary() {}

  /** Why JCublas can't be used here; empty where it can. Never throws for what a machine lacks. */
  public static Optional<String> whyUnusable() {
    return Loaded.PROBLEM;
  }

  /** Which cuBLAS it is, such as {@code cuBLAS 13.1.0, /usr/local/cuda/lib64/libcublas.so.13}. */
  public static String description() {
    return Loaded.DESCRIPTION;
  }

  /** Loads the library, once, when something first asks for it. */
  private static final class Loaded {
    static final Optional<String> PROBLEM;
    static final String DESCRIPTION;

    static {
      String description = "";
      Optional<String> problem = Optional.empty();
      try {
        String file = CudaDriver.kind().emulated() ? emulated() : forwarded();
        description = "cuBLAS " + version() + ", " + file;
      } catch (UnusableException | UncheckedIOException | LinkageError e) {
        problem = Optional.of(String.valueOf(e.getMessage()));
      }
      PROBLEM = problem;
      DESCRIPTION = description;
    }

    /** JCublas asks the library, which is how its loading is known to have worked. */
    private static String version() throws UnusableException {
      JCublas2.setExceptionsEnabled(false);
      int[] part = new int[1];
      StringBuilder version = new StringBuilder();
      for (int property = 0; property < 3; property++) {
        int status = JCublas2.cublasGetProperty(property, part);
        if (status != 0) {
          throw new UnusableException("cublasGetProperty answers status " + status);
        }
        version.append(property == 0 ? "" : ".").append(part[0]);
      }
      return version.toString();
    }

    private static String emulated() throws UnusableException {
      // It calls the emulated driver, which has to be there first.
      CudaProbe driver = CudaDriver.probe();
      if (!driver.usable()) {
        throw new UnusableException(driver.reason());
      }
      load("emulator", "emulator/" + LIBRARY);
      return "the emulated GPU's";
    }

    private static String forwarded() throws UnusableException {
      SymbolLookup library = load("cublas", "cublas/" + LIBRARY);
      Linker linker = Linker.nativeLinker();
      MethodHandle open =
          linker.downcallHandle(
              library.findOrThrow("lathe_cublas_open"),
              FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
      MethodHandle report =
          linker.downcallHandle(
              library.findOrThrow("lathe_cublas_report"),
              FunctionDescriptor.of(ValueLayout.ADDRESS));
      String wanted = System.getProperty("lathe.cublas", System.getenv("LATHE_CUBLAS"));
      boolean found;
      String text;
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment path = wanted == null ? MemorySegment.NULL : arena.allocateFrom(wanted);
        found = (int) open.invokeExact(path) == 0;
        text = ((MemorySegment) report.invokeExact()).reinterpret(Long.MAX_VALUE).getString(0);
      } catch (Throwable e) {
        throw new IllegalStateException("a call into native/cublas failed", e);
      }
      if (!found) {
        throw new UnusableException(
            text + "; LATHE_CUBLAS can name the file, or the folder that has it");
      }
      return text;
    }

    private static SymbolLookup load(String component, String resource) throws UnusableException {
      Optional<Path> file = NativeLibraries.find(resource);
      if (file.isEmpty()) {
        throw new UnusableException("no cuBLAS: " + NativeLibraries.whyMissing(component));
      }
      try {
        return SymbolLookup.libraryLookup(file.get(), Arena.global());
      } catch (IllegalArgumentException e) {
        throw new UnusableException(file.get() + " can't be loaded: " + e.getMessage());
      }
    }
  }

  /** What this machine lacks. */
  private static final class UnusableException extends Exception {
    private static final long serialVersionUID = 1;

    UnusableException(String message) {
      super(message);
    }
  }
}
