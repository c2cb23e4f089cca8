package dev.lathe.measure;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.cpu.CpuCeilings;
import dev.lathe.error.BackendUnusableException;

/**
 * The ceilings of the device that a backend runs on, measured with its threads: what it achieves is
 * held against them, and where they meet is the ridge point.
 */
public final class Ridge {
  private Ridge() {}

  /**
   * Measures; takes about a second.
   *
   * @throws BackendUnusableException if this machine or backend has nothing to measure them with
   */
  public static Ceilings measure(Backend backend) {
    return switch (backend.name()) {
      case "cpu", "reference" -> cpu(Math.max(1, backend.device().threads()));
      default ->
          throw new BackendUnusableException(
              "the ceilings of backend %s cannot be measured by this version, so that its profile"
                      .formatted(backend.name())
                  + " would have no bounds; profile with --backend cpu");
    };
  }

  private static Ceilings cpu(int threads) {
    CpuCeilings measured = CpuCeilings.measure(threads);
    return new Ceilings(
        measured.readBandwidthGbs(),
        measured.peakGflops(),
        "measured on the CPU with %d threads: reading 512 MiB, F32 multiply-adds in registers"
            .formatted(threads));
  }
}
