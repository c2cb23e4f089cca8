package dev.lathe.cli;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.cpu.CpuCeilings;

/** The ceilings of what a backend runs on, measured now. */
final class MeasuredCeilings {
  private MeasuredCeilings() {}

  /**
   * Takes some tenths of a second.
   *
   * @throws dev.lathe.error.BackendUnusableException where they cannot be measured
   */
  static Ceilings of(Backend backend) {
    DeviceInfo device = backend.device();
    return cpu(Math.max(1, device.threads()), device.name());
  }

  static Ceilings cpu(int threads, String processor) {
    CpuCeilings measured = CpuCeilings.measure(threads);
    return new Ceilings(
        measured.readBandwidthGbs(),
        measured.peakGflops(),
        "%s, %d threads".formatted(processor, threads));
  }
}
