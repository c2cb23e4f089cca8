package dev.lathe.measure;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.cpu.CpuCeilings;
import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.error.BackendUnusableException;

/**
 * The ceilings of the device that a backend runs on, measured with its threads: what it achieves is
 * held against them, and where they meet is the ridge point.
 */
public final class Ridge {
  private static final long MIB = 1 << 20;

  private Ridge() {}

  /** Beyond this, no cache of today's processors holds a buffer, and more would only take long. */
  private static final long LARGEST_BUFFER_BYTES = 512L << 20;

  /**
   * Measures; takes about a second. A model that fits a cache is read from there at each step, so
   * the bandwidth is that of reading as much as the model's weights over and over (the cache-aware
   * roofline: Ilic, Pratas and Sousa 2014): against the memory's bandwidth, a small model would
   * pass for memory-bound at several times what memory can deliver.
   *
   * @param workingSetBytes what a step reads: {@code Decoder.weightBytes()}
   * @throws BackendUnusableException if this machine or backend has nothing to measure them with
   */
  public static Ceilings measure(Backend backend, long workingSetBytes) {
    long bufferBytes = Math.min(workingSetBytes, LARGEST_BUFFER_BYTES);
    return switch (backend.name()) {
      case "cpu", "reference" -> cpu(Math.max(1, backend.device().threads()), bufferBytes);
      case "cuda" -> ((CudaBackend) backend).measureCeilings(bufferBytes);
      default ->
          throw new BackendUnusableException(
              "the ceilings of backend %s cannot be measured by this version, so that its profile"
                      .formatted(backend.name())
                  + " would have no bounds; profile with --backend cpu");
    };
  }

  private static Ceilings cpu(int threads, long bufferBytes) {
    CpuCeilings measured = CpuCeilings.measure(threads, bufferBytes);
    return measured.asCeilings(
        "measured on the CPU, %d threads: reading %.1f MB over and over; multiply-adds in registers"
            .formatted(threads, Math.max(bufferBytes, threads * MIB) / 1e6));
  }
}
