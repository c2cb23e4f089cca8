package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cpu.Nd4jBackend;
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

  /** This version executes nothing on CUDA, whether there is a driver or not. */
  @Test
  void cudaIsRefusedWithWhatTheDriverSays() {
    CudaProbe probe = CudaDriver.probe();
    assertThatThrownBy(() -> Backends.open("cuda", 1, "auto"))
        .isInstanceOf(BackendUnusableException.class)
        .hasMessageContaining(probe.usable() ? probe.deviceName() : probe.reason());
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
    try (OpenedBackend cpu = Backends.open("auto", 0, "auto")) {
      assertThat(cpu.backend()).isInstanceOf(CpuBackend.class);
      assertThat(cpu.backend().device().threads()).isPositive();
      assertThat(cpu.backend().device().features()).startsWith("native ");
    }
  }
}
