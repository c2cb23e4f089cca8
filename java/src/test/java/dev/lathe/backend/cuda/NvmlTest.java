package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.NativeLibraries;
import java.util.OptionalLong;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The calls, against a library that answers each with a number of its own. */
class NvmlTest {
  private static final String FAKE =
      NativeLibraries.locate("emulator", "emulator/test/libnvidia-ml.so.1").toString();

  @Test
  void everySensorIsReadFromItsOwnPlace() {
    try (Nvml nvml = Nvml.open(FAKE, "0000:01:00.0").nvml().orElseThrow()) {
      assertThat(nvml.driverVersion()).isEqualTo("580.1.2");
      assertThat(nvml.deviceName()).isEqualTo("First");
      NvmlReading reading = nvml.read();
      assertThat(reading)
          .isEqualTo(
              new NvmlReading(
                  OptionalLong.of(300),
                  OptionalLong.of(1000),
                  OptionalLong.of(1200),
                  OptionalLong.of(1981),
                  OptionalLong.of(2600),
                  OptionalLong.of(2619),
                  OptionalLong.of(41),
                  OptionalLong.of(123456),
                  OptionalLong.of(700000),
                  reading.energyMillijoules(),
                  OptionalLong.of(97),
                  OptionalLong.of(64)));
      long before = reading.energyMillijoules().orElseThrow();
      assertThat(nvml.read().energyMillijoules()).hasValue(before + 250);
    }
  }

  @Test
  void sensorThatIsNotThereIsAbsentAndNotZero() {
    try (Nvml nvml = Nvml.open(FAKE, "0000:02:00.0").nvml().orElseThrow()) {
      NvmlReading reading = nvml.read();
      assertThat(nvml.deviceName()).isEqualTo("Second");
      assertThat(reading.totalBytes()).hasValue(1000);
      assertThat(reading.multiprocessorMegahertz()).isEmpty();
      assertThat(reading.temperatureCelsius()).isEmpty();
      assertThat(reading.powerMilliwatts()).isEmpty();
      assertThat(reading.energyMillijoules()).isEmpty();
      assertThat(reading.busyPercent()).isEmpty();
    }
  }

  @Test
  void whatIsMissingIsAReason() {
    Nvml.Opened noLibrary = Nvml.open("libnvidia-ml-of-nobody.so.1", "0000:01:00.0");
    assertThat(noLibrary.nvml()).isEmpty();
    assertThat(noLibrary.reason()).isEqualTo("libnvidia-ml-of-nobody.so.1 is not installed");
    Nvml.Opened noDevice = Nvml.open(FAKE, "0000:99:00.0");
    assertThat(noDevice.nvml()).isEmpty();
    assertThat(noDevice.reason())
        .isEqualTo(
            "nvmlDeviceGetHandleByPciBusId_v2 answers: Not Found (for the GPU at 0000:99:00.0)");
    // A library that has none of NVML's functions.
    String other = NativeLibraries.locate("emulator", "emulator/test/libcublas.so.13").toString();
    assertThat(Nvml.open(other, "0000:01:00.0").reason())
        .isEqualTo("nvmlInit_v2 answers: error 13");
  }

  @Test
  void closedIsClosed() {
    Nvml nvml = Nvml.open(FAKE, "0000:01:00.0").nvml().orElseThrow();
    nvml.close();
    nvml.close();
    assertThatThrownBy(nvml::read).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void emulatedGpuHasNoSensors() {
    assumeTrue(CudaDriver.kind().emulated(), "this runs on a GPU");
    assertThat(Nvml.open().nvml()).isEmpty();
    assertThat(Nvml.open().reason()).isEqualTo("the emulated GPU has no sensors");
  }

  @Test
  @Tag("cuda")
  void realGpuAnswers() {
    assumeFalse(CudaDriver.kind().emulated(), "the emulated GPU has no sensors");
    Nvml.Opened opened = Nvml.open();
    assumeTrue(opened.nvml().isPresent(), opened.reason());
    try (Nvml nvml = opened.nvml().orElseThrow()) {
      assertThat(nvml.deviceName()).isEqualTo(CudaDriver.probe().deviceName());
      assertThat(nvml.driverVersion()).matches("\\d+\\.\\d+.*");
      NvmlReading reading = nvml.read();
      assertThat(reading.usedBytes().orElseThrow())
          .isPositive()
          .isLessThanOrEqualTo(reading.totalBytes().orElseThrow());
      reading
          .multiprocessorMegahertz()
          .ifPresent(clock -> assertThat(clock).isBetween(100L, 10_000L));
      reading.temperatureCelsius().ifPresent(celsius -> assertThat(celsius).isBetween(5L, 120L));
      reading
          .energyMillijoules()
          .ifPresent(energy ->
              assertThat(nvml.read().energyMillijoules().orElseThrow())
                  .isGreaterThanOrEqualTo(energy));
    }
  }
}
