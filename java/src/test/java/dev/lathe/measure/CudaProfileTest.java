package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Backends;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.generate.ByteTokenizer;
import dev.lathe.measure.DecodeSteps.Sync;
import dev.lathe.measure.Profile.DevicePhase;
import dev.lathe.measure.Profile.Kernel;
import dev.lathe.measure.Profile.Operation;
import dev.lathe.model.Decoder;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.ActivationFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/**
 * Structure, names and counts of a profile on a GPU or the emulated one, whose times say nothing.
 */
@Tag("cuda")
class CudaProfileTest {
  private static final int DECODE = 6;
  private static final int REPETITIONS = 2;
  private static final Profiler.Options OPTIONS =
      new Profiler.Options(5, DECODE, 2, 1, 0, REPETITIONS, 3);
  private static final Ceilings CEILINGS = new Ceilings(10, 100, "test");

  private interface Check {
    void on(Decoder decoder);
  }

  private static void withDecoder(Check check) {
    withDecoder(new TinyModel(3), check);
  }

  /** Closes the model. */
  private static void withDecoder(TinyModel of, Check check) {
    try (OpenedBackend opened = Backends.open("cuda", 1, "auto");
        TinyModel model = of;
        Decoder decoder = Decoder.load(model, opened.backend())) {
      check.on(decoder);
    }
  }

  @Test
  void everyOperationHasItsKernels() {
    withDecoder(decoder -> {
      Profile profile = Profiler.profile(decoder, OPTIONS, CEILINGS, Progress.NONE);
      for (String phase : List.of("prefill", "decode")) {
        Map<String, Integer> operations =
            profile.ops(phase).stream()
                .collect(Collectors.toMap(Operation::name, Operation::calls));
        Map<String, Integer> launches =
            profile.kernels(phase).stream()
                .filter(kernel -> kernel.operation().isPresent())
                .collect(
                    Collectors.toMap(
                        kernel -> kernel.operation().get(), Kernel::calls, Integer::sum));
        assertThat(launches.keySet()).isEqualTo(operations.keySet());
        launches.forEach((name, calls) ->
            assertThat(calls).as(name).isGreaterThanOrEqualTo(operations.get(name)));
        // One launch each, whatever the sizes.
        assertThat(launches).containsEntry("rms_norm", operations.get("rms_norm"));
        assertThat(launches).containsEntry("gate", operations.get("gate"));
        assertThat(profile.kernels(phase).stream().mapToDouble(Kernel::percent).sum())
            .isBetween(99.999, 100.001);
        int steps = phase.equals("prefill") ? 1 : DECODE;
        assertThat(profile.kernels(phase))
            .filteredOn(kernel -> kernel.name().equals("upload"))
            .extracting(Kernel::calls)
            .containsExactly(steps);
        DevicePhase device =
            profile.devicePhases().stream()
                .filter(p -> p.phase().equals(phase))
                .findFirst()
                .orElseThrow();
        assertThat(device.launches())
            .isEqualTo(profile.kernels(phase).stream().mapToInt(Kernel::calls).sum());
        assertThat(device.idlePercent()).isBetween(0.0, 100.0);
        assertThat(device.timeMs()).isEqualTo(profile.phase(phase).timeMs());
        assertThat(device.recordedMs())
            .isGreaterThan(device.kernelMs() + device.copyMs()); // which it holds
      }
      Kernel norm =
          profile.kernels("decode").stream()
              .filter(kernel -> kernel.operation().equals(Optional.of("rms_norm")))
              .findFirst()
              .orElseThrow();
      Operation operation =
          profile.ops("decode").stream()
              .filter(op -> op.name().equals("rms_norm"))
              .findFirst()
              .orElseThrow();
      assertThat(norm.bytes()).hasValue(operation.bytes());
      assertThat(norm.flops()).hasValue(operation.flops());
      assertThat(norm.name()).startsWith("rms_norm");
      assertThat(norm.grid()).isPresent();
      assertThat(profile.launchTimerNanos()).isPresent();
    });
  }

  @Test
  void w8a8IsHeldAgainstTheRoofOfInt8TensorCores() {
    withDecoder(
        new TinyModel(3).quantized(ActivationFormat.INT8),
        decoder -> {
          Profile profile = Profiler.profile(decoder, OPTIONS, CEILINGS, Progress.NONE);
          for (String phase : List.of("prefill", "decode")) {
            List<Kernel> kernels = profile.kernels(phase);
            assertThat(kernels)
                .filteredOn(kernel -> kernel.name().startsWith("gemm_w8a8"))
                .hasSizeGreaterThanOrEqualTo(4)
                .extracting(Kernel::arithmetic)
                .containsOnly(Arithmetic.INT8_TENSOR_CORES.toString());
            assertThat(kernels)
                .filteredOn(kernel -> kernel.operation().equals(Optional.of("qkv")))
                .extracting(Kernel::name)
                .containsExactlyInAnyOrder("quantize_rows_s8", "gemm_w8a8_small");
          }
        });
  }

  @Test
  void theHostWaitsOnceAStepAndTheGapIsMeasuredWithGraphs() {
    withDecoder(decoder -> {
      DecodeSteps steps =
          DecodeSteps.measure(decoder, new ByteTokenizer(), OPTIONS, Progress.NONE).orElseThrow();
      assertThat(steps.steps()).isEqualTo(REPETITIONS * (DECODE - 1));
      // A token of each of the sequences is read back in one copy, and nothing else is waited for.
      Map<String, Sync> syncs =
          steps.syncs().stream().collect(Collectors.toMap(Sync::where, sync -> sync));
      assertThat(syncs.keySet()).containsExactlyInAnyOrder("copy buffer", "download");
      assertThat(syncs.get("download").calls()).isEqualTo(steps.steps());
      assertThat(syncs.get("download").callsPerStep()).isEqualTo(1);
      assertThat(syncs.get("download").waitMs()).isPositive();
      assertThat(syncs.get("copy buffer").callsPerStep()).isEqualTo(2); // one up, one down
      // The first generation captured; of those that count, all steps are replayed.
      HostGap gap = steps.hostGap().orElseThrow();
      assertThat(gap.steps()).isEqualTo(REPETITIONS * (DECODE - 2));
      assertThat(gap.percent()).isBetween(0.0, 100.0);
      assertThat(gap.gapMicros()).isBetween(0.0, gap.stepMicros());
      assertThat(gap.runsPercent()).hasSize(REPETITIONS);
    });
  }

  @Test
  void theTraceHasHostDeviceAndWaits() {
    withDecoder(decoder -> {
      Profiled profiled = Profiler.traced(decoder, OPTIONS, CEILINGS, Progress.NONE);
      Optional<DecodeSteps> steps =
          DecodeSteps.measure(decoder, new ByteTokenizer(), OPTIONS, Progress.NONE);
      TraceCheck trace = new TraceCheck(profiled.trace(steps, "a test"));
      assertThat(trace.tracks).hasSize(9);
      assertThat(trace.metadata.get("device_clock_error_us").doubleValue()).isNotNegative();
      List<JsonNode> host = trace.track("decode, every", Timeline.HOST);
      assertThat(TraceCheck.names(host)).startsWith("decode step 0", "embed", "rms_norm", "qkv");
      assertThat(TraceCheck.names(host))
          .filteredOn(n -> n.startsWith("decode step"))
          .hasSize(DECODE);
      int launches =
          profiled.profile().devicePhases().stream().mapToInt(DevicePhase::launches).sum();
      assertThat(
              trace.track("prefill", Timeline.DEVICE).size()
                  + trace.track("decode, every", Timeline.DEVICE).size())
          .isEqualTo(launches);
      assertThat(trace.track("generation", Timeline.DEVICE))
          .filteredOn(event -> event.get("cat").stringValue().equals("replayed"))
          .hasSize(DECODE - 1);
      assertThat(TraceCheck.names(trace.track("generation", Timeline.WAITS))).contains("download");
      // Nothing runs on the device before the host asked for it, as far as the clocks agree.
      double error = trace.metadata.get("device_clock_error_us").doubleValue();
      double asked = host.getFirst().get("ts").asDouble();
      assertThat(trace.track("decode, every", Timeline.DEVICE).getFirst().get("ts").asDouble())
          .isGreaterThanOrEqualTo(asked - error - 1e-3);
    });
  }

  /** One token: no step follows the prompt, so there is no gap, and no figure is made up. */
  @Test
  void withoutDecodeStepsThereIsNoGap() {
    Profiler.Options one = new Profiler.Options(5, 1, 1, 0, 0, 1, 3);
    withDecoder(decoder -> {
      DecodeSteps steps =
          DecodeSteps.measure(decoder, new ByteTokenizer(), one, Progress.NONE).orElseThrow();
      assertThat(steps.steps()).isZero();
      assertThat(steps.syncs()).isEmpty();
      assertThat(steps.hostGap()).isEmpty();
      Profile profile = Profiler.profile(decoder, one, CEILINGS, Progress.NONE);
      ProfileResult result = new ProfileResult(profile, Optional.of(steps));
      assertThat(result.hostGapPercent()).isEmpty();
      assertThat(result.json().get("host_gap_percent").isNull()).isTrue();
    });
  }
}
