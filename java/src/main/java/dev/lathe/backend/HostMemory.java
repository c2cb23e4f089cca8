package dev.lathe.backend;

import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;

/** Off-heap memory of the host, for backends that compute there. */
public final class HostMemory implements DeviceMemory {
  private static final long ALIGNMENT_BYTES = 64;

  // Shared, because the thread that closes a model need not be the one that loaded it.
  private final Arena arena = Arena.ofShared();
  private long bytes;

  @Override
  public Tensor tensor(DType dtype, long... shape) {
    long needed = Math.multiplyExact(Tensor.elements(shape), dtype.bytes());
    try {
      Tensor tensor = Tensor.of(arena.allocate(needed, ALIGNMENT_BYTES), dtype, shape);
      bytes += needed;
      return tensor;
    } catch (OutOfMemoryError e) {
      throw new LatheException(
          LatheException.FAILED,
          "out of memory: %d more bytes were needed, about %d are free"
              .formatted(needed, HostInfo.freeMemoryBytes()),
          e);
    }
  }

  @Override
  public long bytes() {
    return bytes;
  }

  @Override
  public void close() {
    arena.close();
  }
}
