package dev.lathe.cli;

import dev.lathe.backend.Backends;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.backend.cpu.CpuCeilings;
import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.cuda.CudaProbe;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.LatheException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.Function;
import tools.jackson.databind.node.ObjectNode;

/**
 * Whether one backend runs here, and on what.
 *
 * @param reason why it does or does not
 * @param device as far as one was found, usable or not
 * @param ceilings measured now; absent where {@code ceilingsReason} says why
 */
record BackendHealth(
    String name,
    boolean usable,
    String reason,
    Optional<String> device,
    OptionalLong memoryBytes,
    Optional<Ceilings> ceilings,
    String ceilingsReason) {

  /** Bytes that no GPU's cache holds. */
  private static final long BEYOND_ANY_CACHE = 1L << 30;

  /** Every backend, each tried. */
  static List<BackendHealth> all(int threads) {
    return List.of(cuda(threads), cpu(threads), reference(threads));
  }

  private static BackendHealth cuda(int threads) {
    CudaProbe probe = CudaDriver.probe();
    Optional<String> device =
        probe.deviceName().isEmpty() ? Optional.empty() : Optional.of(probe.deviceName());
    OptionalLong memory =
        probe.memoryBytes() == 0 ? OptionalLong.empty() : OptionalLong.of(probe.memoryBytes());
    try (OpenedBackend opened = Backends.open("cuda", threads, "auto")) {
      return new BackendHealth(
          "cuda",
          true,
          opened.reason(),
          device,
          memory,
          probe.emulated()
              ? Optional.empty()
              : Optional.of(((CudaBackend) opened.backend()).measureCeilings(BEYOND_ANY_CACHE)),
          "not measured: an emulated GPU has no speed");
    } catch (LatheException e) {
      return new BackendHealth(
          "cuda", false, e.getMessage(), device, memory, Optional.empty(), "it cannot run");
    }
  }

  private static BackendHealth cpu(int threads) {
    DeviceInfo device;
    String reason;
    try (OpenedBackend opened = Backends.open("cpu", threads, "auto")) {
      device = opened.backend().device();
      reason = device.features() + "; " + opened.reason();
    } catch (BackendUnusableException e) {
      return unusable("cpu", e.getMessage());
    } catch (UncheckedIOException e) {
      // The kernels are unpacked to a folder that may not be writable: for doctor, a finding.
      return unusable("cpu", e.getMessage() + ": " + e.getCause().getMessage());
    }
    Optional<Ceilings> ceilings = Optional.empty();
    String ceilingsReason = "";
    try {
      ceilings = Optional.of(memoryCeilings(device, threads));
    } catch (BackendUnusableException e) {
      ceilingsReason = e.getMessage();
    }
    return new BackendHealth(
        "cpu",
        true,
        reason,
        Optional.of(device.name()),
        OptionalLong.of(device.memoryBytes()),
        ceilings,
        ceilingsReason);
  }

  /** Of the machine, not of a model that may fit a cache: with the memory's bandwidth. */
  private static Ceilings memoryCeilings(DeviceInfo device, int threads) {
    CpuCeilings measured = CpuCeilings.measure(threads);
    return measured.asCeilings("%s, %d threads".formatted(device.name(), threads));
  }

  private static BackendHealth reference(int threads) {
    try (OpenedBackend opened = Backends.open("reference", threads, "auto")) {
      DeviceInfo device = opened.backend().device();
      return new BackendHealth(
          "reference",
          true,
          "plain Java in double precision, for comparison",
          Optional.of(device.name()),
          OptionalLong.of(device.memoryBytes()),
          Optional.empty(),
          "not measured: it is there to be right, not fast");
    }
  }

  private static BackendHealth unusable(String name, String why) {
    return new BackendHealth(
        name, false, why, Optional.empty(), OptionalLong.empty(), Optional.empty(), why);
  }

  ObjectNode json() {
    ObjectNode json = Json.object();
    json.put("name", name);
    json.put("usable", usable);
    json.put("reason", reason);
    json.put("device", device.orElse(null));
    json.put("memory_bytes", memoryBytes.isPresent() ? (Long) memoryBytes.getAsLong() : null);
    json.put("peak_bandwidth_gbs", ceilings.map(Ceilings::readBandwidthGbs).orElse(null));
    json.put("peak_tflops", ceilings.map(c -> c.peakGflops() / 1e3).orElse(null));
    Optional<Ceilings.TensorCores> tensorCores = ceilings.flatMap(Ceilings::tensorCores);
    json.put("peak_bf16_tensor_tflops", tensorCores.map(t -> t.bf16Gflops() / 1e3).orElse(null));
    json.put("peak_int8_tensor_tops", tensorCores.map(t -> t.int8Gops() / 1e3).orElse(null));
    json.put("peak_int16_tops", tops(Ceilings::int16Gops));
    json.put("peak_int8_tops", tops(Ceilings::int8Gops));
    json.put(
        "peak_source", ceilings.map(c -> "measured now: " + c.source()).orElse(ceilingsReason));
    return json;
  }

  /** Null where it was not measured. */
  private Double tops(Function<Ceilings, OptionalDouble> gops) {
    OptionalDouble found = ceilings.map(gops).orElseGet(OptionalDouble::empty);
    return found.isPresent() ? (Double) (found.getAsDouble() / 1e3) : null;
  }

  String line() {
    StringBuilder what = new StringBuilder();
    device.ifPresent(d -> what.append(d).append("; "));
    if (memoryBytes.isPresent()) {
      what.append("%.1f GB; ".formatted(memoryBytes.getAsLong() / 1e9));
    }
    ceilings.ifPresent(c ->
        what.append(
            "reads %.1f GB/s, %.0f GFLOP/s in F32; "
                .formatted(c.readBandwidthGbs(), c.peakGflops())));
    ceilings.ifPresent(c -> {
      c.int16Gops().ifPresent(gops -> what.append("%.0f GOP/s in INT16; ".formatted(gops)));
      c.int8Gops().ifPresent(gops -> what.append("%.0f GOP/s in INT8; ".formatted(gops)));
    });
    ceilings
        .flatMap(Ceilings::tensorCores)
        .ifPresent(t ->
            what.append(
                "mma.sync %.0f TFLOP/s in BF16, %.0f TOP/s in INT8; "
                    .formatted(t.bf16Gflops() / 1e3, t.int8Gops() / 1e3)));
    return DoctorCommand.line(name, usable, what + reason);
  }
}
