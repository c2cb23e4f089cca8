package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** The emulated GPU with checks, as tests of it want it: in its usual order, without a report. */
final class CheckedEmulator {
  private CheckedEmulator() {}

  /** Skips the test where this process uses another device. */
  static Emulator fresh() {
    assumeTrue(
        CudaDriver.kind() == CudaDriver.Kind.EMULATED_CHECKED,
        "this process doesn't run on the emulated GPU with checks");
    CudaProbe probe = CudaDriver.probe();
    assertThat(probe.usable()).as(probe.reason()).isTrue();
    Emulator emulator = new Emulator();
    emulator.setOrder("forward");
    emulator.setStreams("late");
    emulator.setSums("rounded");
    emulator.clearReport();
    return emulator;
  }
}
