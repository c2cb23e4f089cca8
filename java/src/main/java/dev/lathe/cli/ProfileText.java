package dev.lathe.cli;

import dev.lathe.backend.Ceilings;
import dev.lathe.measure.DecodeSteps;
import dev.lathe.measure.HostGap;
import dev.lathe.measure.Profile;
import dev.lathe.measure.ProfileResult;
import java.io.PrintStream;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Collectors;

/** A profile as text: a table of operations and one of kernels for each phase. */
final class ProfileText {
  private static final int MOST_KERNELS = 20;

  private final PrintStream out;

  ProfileText(PrintStream out) {
    this.out = out;
  }

  void print(ProfileResult result) {
    Profile profile = result.profile();
    print(
        "%,d parameters; %,d bytes of weights, %,d of activations, %,d of KV-cache (%s) a token",
        profile.params(),
        profile.weightsBytes(),
        profile.activationBytes(),
        profile.kvBytesPerToken(),
        profile.kvCacheType());
    ceilings(profile);
    for (Profile.Phase phase : profile.phases()) {
      operations(profile, phase);
      profile.devicePhases().stream()
          .filter(device -> device.phase().equals(phase.name()))
          .forEach(device -> kernels(profile, device));
    }
    result.steps().ifPresent(this::steps);
    print("%nbottleneck: %s", profile.bottleneck());
    for (String advice : profile.advice()) {
      out.println("- " + advice);
    }
  }

  private void ceilings(Profile profile) {
    Ceilings ceilings = profile.ceilings();
    print(
        "ceilings: %.1f GB/s, %.1f GFLOP/s (%s), which meet at %.1f FLOP a byte",
        ceilings.readBandwidthGbs(),
        ceilings.peakGflops(),
        ceilings.source(),
        profile.ridgeFlopsPerByte());
    ceilings
        .int16Gops()
        .ifPresent(gops -> print("          products of 16-bit integers: %.1f GOP/s", gops));
    ceilings
        .int8Gops()
        .ifPresent(gops -> print("          products of 8-bit integers: %.1f GOP/s", gops));
    ceilings
        .tensorCores()
        .ifPresent(t ->
            print(
                "          tensor cores by mma.sync: %.1f GFLOP/s in BF16, %.1f GOP/s in INT8",
                t.bf16Gflops(), t.int8Gops()));
  }

  private void operations(Profile profile, Profile.Phase phase) {
    print(
        "%n%s: %,d tokens of %d sequences in %.3f ms (%.3f ms at the ceilings); %.2f GB/s,"
            + " %.2f GFLOP/s, %.2f FLOP a byte: %s",
        phase.name(),
        phase.tokens(),
        phase.sequences(),
        phase.timeMs(),
        phase.leastMs(),
        phase.gbs(),
        1e3 * phase.tflops(),
        phase.intensity(),
        word(phase.bound()));
    String row = "  %-20s %8s %10s %7s %14s %14s %8s %9s  %s";
    print(row, "operation", "calls", "ms", "%", "FLOP", "bytes", "GB/s", "GFLOP/s", "bound");
    for (Profile.Operation op : profile.ops(phase.name())) {
      print(
          row,
          op.name(),
          op.calls(),
          "%.3f".formatted(op.timeMs()),
          "%.1f".formatted(op.percent()),
          "%,d".formatted(op.flops()),
          "%,d".formatted(op.bytes()),
          "%.2f".formatted(op.gbs()),
          "%.2f".formatted(1e3 * op.tflops()),
          word(op.bound()) + (op.arithmetic().equals("f32") ? "" : ", " + op.arithmetic()));
    }
  }

  private void kernels(Profile profile, Profile.DevicePhase device) {
    print(
        "  %,d launches, each recorded: %.3f ms of kernels, %.3f ms of copies, %.3f ms (%.1f %%)"
            + " idle; %.3f ms so recorded, %.3f ms undisturbed",
        device.launches(),
        device.kernelMs(),
        device.copyMs(),
        device.idleMs(),
        device.idlePercent(),
        device.recordedMs(),
        device.timeMs());
    String row = "  %-36s %-18s %8s %10s %7s %16s %6s %8s %9s";
    print(row, "kernel", "operation", "calls", "ms", "%", "grid", "block", "GB/s", "GFLOP/s");
    List<Profile.Kernel> kernels = profile.kernels(device.phase());
    for (Profile.Kernel kernel : kernels.subList(0, Math.min(MOST_KERNELS, kernels.size()))) {
      print(
          row,
          kernel.name(),
          kernel.operation().orElse(""),
          kernel.calls(),
          "%.3f".formatted(kernel.timeMs()),
          "%.1f".formatted(kernel.percent()),
          kernel
              .grid()
              .map(grid -> grid.stream().map(String::valueOf).collect(Collectors.joining(" x ")))
              .orElse(""),
          kernel.block().isPresent() ? String.valueOf(kernel.block().getAsInt()) : "",
          figure(kernel.gbs(), 1),
          figure(kernel.tflops(), 1e3));
    }
    if (kernels.size() > MOST_KERNELS) {
      print("  … and %d more (--json has all)", kernels.size() - MOST_KERNELS);
    }
  }

  private void steps(DecodeSteps steps) {
    Optional<HostGap> gap = steps.hostGap();
    if (gap.isPresent()) {
      print(
          "%nhost gap between decode steps: %.2f %% (%.1f of %.1f us a step, medians of %,d"
              + " replayed steps)",
          gap.get().percent(), gap.get().gapMicros(), gap.get().stepMicros(), gap.get().steps());
    } else {
      print("%nhost gap between decode steps: not measured, no two steps were replayed");
    }
    for (DecodeSteps.Sync sync : steps.syncs()) {
      print(
          "  the host waits at %-14s %6.2f times a step, %.3f ms in %,d steps",
          sync.where() + ":", sync.callsPerStep(), sync.waitMs(), steps.steps());
    }
  }

  /** Blank where a figure is not known. */
  private static String figure(OptionalDouble value, double scale) {
    return value.isPresent() ? "%.2f".formatted(scale * value.getAsDouble()) : "";
  }

  private void print(String format, Object... arguments) {
    out.printf(format + "%n", arguments);
  }

  private static String word(Enum<?> bound) {
    return bound.name().toLowerCase(Locale.ROOT);
  }
}
