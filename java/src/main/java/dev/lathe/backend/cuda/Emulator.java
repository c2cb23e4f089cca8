package dev.lathe.backend.cuda;

import dev.lathe.backend.NativeLibraries;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * What the emulated GPU can be asked beyond CUDA: the order of its threads, and what its checks
 * have found.
 */
public final class Emulator {
  private final MethodHandle lastReport;
  private final MethodHandle clearReport;
  private final MethodHandle setOrder;

  /**
   * @throws IllegalStateException if this process doesn't use the emulated GPU
   */
  public Emulator() {
    if (!CudaDriver.kind().emulated()) {
      throw new IllegalStateException(
          "this process uses the system's CUDA driver, not the emulated GPU");
    }
    SymbolLookup library =
        SymbolLookup.libraryLookup(
            NativeLibraries.locate("emulator", "emulator/libcuda.so.1"), Arena.global());
    Linker linker = Linker.nativeLinker();
    lastReport =
        linker.downcallHandle(
            library.findOrThrow("lathe_emulator_last_report"),
            FunctionDescriptor.of(ValueLayout.ADDRESS));
    clearReport =
        linker.downcallHandle(
            library.findOrThrow("lathe_emulator_clear_report"), FunctionDescriptor.ofVoid());
    setOrder =
        linker.downcallHandle(
            library.findOrThrow("lathe_emulator_set_order"),
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
  }

  /**
   * The report of the last fault: kernel, block, thread and what it did. Empty where there was
   * none.
   */
  public String lastReport() {
    try {
      return ((MemorySegment) lastReport.invokeExact()).reinterpret(Long.MAX_VALUE).getString(0);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  public void clearReport() {
    try {
      clearReport.invokeExact();
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * How blocks and threads are scheduled from the next launch on.
   *
   * @param order {@code forward}, {@code reverse} or {@code random:SEED}
   */
  public void setOrder(String order) {
    try (Arena arena = Arena.ofConfined()) {
      if ((int) setOrder.invokeExact(arena.allocateFrom(order)) != 0) {
        throw new IllegalArgumentException(
            "order '" + order + "' is none of forward, reverse, random:SEED");
      }
    } catch (IllegalArgumentException e) {
      throw e;
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * None of the native functions throws, so what comes out of a handle is a broken JVM or a wrong
   * signature.
   */
  private static IllegalStateException unexpected(Throwable e) {
    return new IllegalStateException("a call into the emulated GPU failed", e);
  }
}
