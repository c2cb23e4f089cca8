package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cpu.Nd4jBackend;
import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.cuda.CudaProbe;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.InvalidInputException;
import java.util.Optional;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** What was asked for is what runs, or an error; never something else in silence. */
final class BackendsTest {
  private static final Optional<String> NO_DRIVER = Optional.of("libcuda.so.1 is not installed");

  @Test
  void autoTakesCudaWhereItRuns() {
    assertThat(BackendSelector.select("auto", Optional.empty()).name()).isEqualTo("cuda");
  }

  @Test
  void autoTakesTheCpuAndSaysWhy() {
    BackendSelector.Selection chosen = BackendSelector.select("auto", NO_DRIVER);
    assertThat(chosen.name()).isEqualTo("cpu");
    assertThat(chosen.reason()).isEqualTo("libcuda.so.1 is not installed");
  }

  @Test
  void cudaIsNeverReplaced() {
    assertThatThrownBy(() -> BackendSelector.select("cuda", NO_DRIVER))
        .isInstanceOfSatisfying(
            BackendUnusableException.class, e -> assertThat(e.exitCode()).isEqualTo(3))
        .hasMessageContaining("libcuda.so.1 is not installed");
  }

  @Test
  void cudaRunsOrIsRefusedWithWhatTheDriverSays() {
    CudaProbe probe = CudaDriver.probe();
    Optional<String> why = CudaBackend.whyUnusable();
    if (why.isPresent()) {
      assertThatThrownBy(() -> Backends.open("cuda", 1, "auto"))
          .isInstanceOf(BackendUnusableException.class)
          .hasMessageContaining(why.get());
    } else {
      try (OpenedBackend cuda = Backends.open("cuda", 1, "auto")) {
        assertThat(cuda.backend().name()).isEqualTo("cuda");
        assertThat(cuda.backend().device().name()).isEqualTo(probe.deviceName());
        assertThat(cuda.reason()).contains("it was asked for", probe.deviceName(), "sm_");
      }
    }
  }

  /** Tests have an emulated GPU at hand, which runs nothing that didn't ask for it. */
  @Test
  void autoTakesAnEmulatedGpuOnlyWhereTheEnvironmentAsksForIt() {
    Assumptions.assumeTrue(CudaDriver.kind().emulated(), "this process uses the system's driver");
    try (OpenedBackend chosen = Backends.open("auto", 1, "auto")) {
      boolean wanted = System.getenv(CudaDriver.EMULATE_VARIABLE) != null;
      assertThat(chosen.backend().name()).isEqualTo(wanted ? "cuda" : "cpu");
      assertThat(chosen.reason()).contains(wanted ? "usable" : "emulated");
    }
  }

  @Test
  void nativeKernelsAreNeverReplaced() {
    assertThatThrownBy(() -> BackendSelector.selectKernels("native", Optional.of("no compiler")))
        .isInstanceOf(BackendUnusableException.class)
        .hasMessageContaining("no compiler");
    assertThat(BackendSelector.selectKernels("auto", Optional.of("no compiler")).name())
        .isEqualTo("nd4j");
    assertThat(BackendSelector.selectKernels("auto", Optional.empty()).name()).isEqualTo("native");
  }

  @Test
  void unknownNamesAreRefusedWithThoseThatExist() {
    assertThatThrownBy(() -> Backends.open("gpu", 1, "auto"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("\"gpu\"")
        .hasMessageContaining("reference");
    assertThatThrownBy(() -> Backends.open("cpu", 1, "mkl"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("\"mkl\"")
        .hasMessageContaining("nd4j");
    assertThatThrownBy(() -> Backends.open("cpu", -1, "auto"))
        .isInstanceOf(InvalidInputException.class);
  }

  @Test
  void opensEachByName() {
    try (OpenedBackend reference = Backends.open("reference", 1, "auto");
        OpenedBackend nd4j = Backends.open("cpu", 1, "nd4j")) {
      assertThat(reference.backend().name()).isEqualTo("reference");
      assertThat(nd4j.backend()).isInstanceOf(Nd4jBackend.class);
      assertThat(nd4j.backend().name()).isEqualTo("cpu");
      assertThat(nd4j.reason()).contains("nd4j");
    }
  }

  @Test
  void opensTheNativeKernels() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
    try (OpenedBackend cpu = Backends.open("cpu", 0, "auto")) {
      assertThat(cpu.backend()).isInstanceOf(CpuBackend.class);
      assertThat(cpu.backend().device().threads()).isPositive();
      assertThat(cpu.backend().device().features()).startsWith("native ");
    }
  }
}
