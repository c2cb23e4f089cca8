package dev.lathe.cli;

import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.cuda.Nvml;
import dev.lathe.backend.cuda.NvmlReading;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import tools.jackson.databind.node.ObjectNode;

/**
 * What the GPU's sensors say now, for {@code doctor}.
 *
 * @param reason why there is no reading; empty where there is one
 * @param driver the driver's version, empty where nobody tells it
 */
record GpuSensors(Optional<NvmlReading> reading, String reason, Optional<String> driver) {

  static GpuSensors read() {
    Optional<String> driver = CudaDriver.version();
    Nvml.Opened opened = Nvml.open();
    if (opened.nvml().isEmpty()) {
      return new GpuSensors(Optional.empty(), opened.reason(), driver);
    }
    try (Nvml nvml = opened.nvml().get()) {
      return new GpuSensors(Optional.of(nvml.read()), "", driver);
    }
  }

  /** A figure that this GPU has no sensor for is null. */
  ObjectNode json() {
    ObjectNode json = Json.object();
    json.put("usable", reading.isPresent());
    json.put("reason", reason);
    json.put("driver", driver.orElse(null));
    reading.ifPresent(now -> {
      put(json, "memory_used_bytes", now.usedBytes());
      put(json, "memory_total_bytes", now.totalBytes());
      put(json, "sm_clock_mhz", now.multiprocessorMegahertz());
      put(json, "sm_clock_max_mhz", now.maxMultiprocessorMegahertz());
      put(json, "memory_clock_mhz", now.memoryMegahertz());
      put(json, "memory_clock_max_mhz", now.maxMemoryMegahertz());
      put(json, "temperature_celsius", now.temperatureCelsius());
      put(json, "power_milliwatts", now.powerMilliwatts());
      put(json, "power_limit_milliwatts", now.powerLimitMilliwatts());
      put(json, "energy_millijoules", now.energyMillijoules());
      put(json, "busy_percent", now.busyPercent());
      put(json, "memory_busy_percent", now.memoryBusyPercent());
    });
    return json;
  }

  private static void put(ObjectNode json, String key, OptionalLong value) {
    json.put(key, value.isPresent() ? (Long) value.getAsLong() : null);
  }

  String line() {
    if (reading.isEmpty()) {
      return DoctorCommand.line("gpu sensors", false, reason);
    }
    NvmlReading now = reading.get();
    List<String> parts = new ArrayList<>();
    driver.ifPresent(version -> parts.add("driver " + version));
    add(parts, "%.1f GB in use", now.usedBytes(), 1e9);
    add(parts, "SM %.0f MHz", now.multiprocessorMegahertz(), 1);
    add(parts, "memory %.0f MHz", now.memoryMegahertz(), 1);
    add(parts, "%.0f °C", now.temperatureCelsius(), 1);
    add(parts, "%.0f W", now.powerMilliwatts(), 1e3);
    add(parts, "%.0f %% busy", now.busyPercent(), 1);
    return DoctorCommand.line("gpu sensors", true, String.join(", ", parts));
  }

  private static void add(List<String> parts, String format, OptionalLong value, double unit) {
    value.ifPresent(v -> parts.add(format.formatted(v / unit)));
  }
}
