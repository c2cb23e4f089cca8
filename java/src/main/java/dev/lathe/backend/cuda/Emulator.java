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
  private final MethodHandle setStreams;
  private final MethodHandle setSums;

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
    setStreams =
        linker.downcallHandle(
            library.findOrThrow("lathe_emulator_set_streams"),
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS));
    setSums =
        linker.downcallHandle(
            library.findOrThrow("lathe_emulator_set_sums"),
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
    set(setOrder, order, "forward, reverse, random:SEED");
  }

  /**
   * When the commands of streams run, from the next call on: {@code late} (the default: not before
   * somebody waits for them, so that a missing synchronization shows), {@code random:SEED} (some at
   * every call) or {@code concurrent} (beside the host, as fast as can be).
   */
  public void setStreams(String timing) {
    set(setStreams, timing, "late, random:SEED, concurrent");
  }

  /**
   * How tensor cores add up products of 16-bit floats, from the next launch on.
   *
   * @param sums {@code rounded} (the default: each sum to the nearest, as no hardware does), or
   *     several at once with bits cut off: {@code ampere}, {@code hopper}
   */
  public void setSums(String sums) {
    set(setSums, sums, "rounded, ampere, hopper");
  }

  private static void set(MethodHandle setter, String wanted, String right) {
    int result;
    try (Arena arena = Arena.ofConfined()) {
      result = (int) setter.invokeExact(arena.allocateFrom(wanted));
    } catch (Throwable e) {
      throw unexpected(e);
    }
    if (result != 0) {
      throw new IllegalArgumentException("'" + wanted + "' is none of " + right);
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
