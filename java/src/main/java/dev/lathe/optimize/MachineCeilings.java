package dev.lathe.optimize;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.cpu.CpuCeilings;
import dev.lathe.error.BackendUnusableException;
import java.util.Optional;

/** Bandwidth and arithmetic of this machine at best, measured now. */
final class MachineCeilings {
  private MachineCeilings() {}

  /** Empty, and said so, where nothing here can measure them. */
  static Optional<Ceilings> measure(Backend backend, ProgressSink sink) {
    int threads = Math.max(1, backend.device().threads());
    try {
      CpuCeilings measured = CpuCeilings.measure(threads);
      return Optional.of(
          new Ceilings(
              measured.readBandwidthGbs(),
              measured.peakGflops(),
              "%s, %d threads".formatted(backend.device().name(), threads)));
    } catch (BackendUnusableException e) {
      sink.note("no bottleneck is named: " + e.getMessage());
      return Optional.empty();
    }
  }
}
