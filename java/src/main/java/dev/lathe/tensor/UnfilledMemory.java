package dev.lathe.tensor;

import dev.lathe.error.LatheException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Memory that is written for the first time by whoever fills it. An arena writes zeros first: of
 * gigabytes of weights that is a pass over all of it, on one thread.
 */
public final class UnfilledMemory {
  private static final long ALIGNMENT_BYTES = 64;
  private static final MethodHandle MALLOC = MallocHandles.malloc();
  private static final MethodHandle FREE = MallocHandles.free();

  private UnfilledMemory() {}

  /** The C library's allocator. */
  @SuppressWarnings("restricted") // these two are declared as every C library has them
  private static final class MallocHandles {
    private static final Linker LINKER = Linker.nativeLinker();

    private MallocHandles() {}

    static MethodHandle malloc() {
      return LINKER.downcallHandle(
          LINKER.defaultLookup().findOrThrow("malloc"),
          FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));
    }

    static MethodHandle free() {
      return LINKER.downcallHandle(
          LINKER.defaultLookup().findOrThrow("free"),
          FunctionDescriptor.ofVoid(ValueLayout.ADDRESS));
    }
  }

  /**
   * So many bytes with any content, aligned for every kernel.
   *
   * @param arena owns them
   * @throws LatheException (exit code 1) if there is not that much memory
   */
  @SuppressWarnings("restricted") // the size is the one that was allocated
  public static MemorySegment allocate(long bytes, Arena arena) {
    MemorySegment start;
    try {
      start = (MemorySegment) MALLOC.invokeExact(bytes + ALIGNMENT_BYTES);
    } catch (Throwable t) {
      throw new IllegalStateException("malloc cannot be called", t);
    }
    if (start.address() == 0) {
      throw new LatheException(
          LatheException.FAILED, "out of memory: %,d more bytes were needed".formatted(bytes));
    }
    MemorySegment whole =
        start.reinterpret(bytes + ALIGNMENT_BYTES, arena, UnfilledMemory::release);
    return whole.asSlice(Math.floorMod(-start.address(), ALIGNMENT_BYTES), bytes);
  }

  private static void release(MemorySegment start) {
    try {
      FREE.invokeExact(start);
    } catch (Throwable t) {
      throw new IllegalStateException("free cannot be called", t);
    }
  }
}
