package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.Ceilings.TensorCores;
import dev.lathe.backend.DeviceRecord;
import dev.lathe.backend.DeviceRecord.Grid;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import dev.lathe.measure.Profile.DevicePhase;
import dev.lathe.measure.Profile.Kernel;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.measure.TracingBackend.Span;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** On recordings written by hand: two operations "down" and one "norm", between an upload. */
class KernelTimesTest {
  private static final Ceilings CEILINGS =
      new Ceilings(10, 100, new TensorCores(1000, 2000), "test");
  private static final Grid GRID = new Grid(7, 2, 1, 128);

  private static final List<Event> COSTS =
      List.of(
          new Event("down", 0, 0, 50, 4000, 300, Arithmetic.F32),
          new Event("norm", 0, 0, 50, 60, 100, Arithmetic.F32),
          new Event("down", 1, 0, 50, 4000, 300, Arithmetic.F32));

  private static Launch kernel(String name, Arithmetic arithmetic, long start, long nanos) {
    return new Launch(Kind.KERNEL, name, arithmetic, GRID, 0, start, nanos);
  }

  /**
   * @param split what of the 100 ns of "down" its second kernel takes
   */
  private static TracedPhase run(long split) {
    Arithmetic tensor = Arithmetic.BF16_TENSOR_CORES;
    List<Launch> launches =
        List.of(
            new Launch(Kind.COPY, "upload", Arithmetic.F32, Grid.UNKNOWN, 64, 1000, 10),
            kernel("tiles", tensor, 1020, 100 - split),
            kernel("combine", Arithmetic.F32, 1120 - split, split),
            kernel("rms", Arithmetic.F32, 1130, 20),
            kernel("tiles", tensor, 1160, 100 - split),
            kernel("combine", Arithmetic.F32, 1260 - split, split));
    List<Span> operations =
        List.of(
            new Span("down", 0, 1000, 1001, 1, 3),
            new Span("norm", 0, 1002, 1003, 3, 4),
            new Span("down", 1, 1004, 1005, 4, 6));
    return new TracedPhase(
        "decode", List.of(), operations, new DeviceRecord(launches, List.of(), 1, 5), 400);
  }

  private static Kernel find(List<Kernel> kernels, String name) {
    return kernels.stream().filter(k -> k.name().equals(name)).findFirst().orElseThrow();
  }

  @Test
  void aKernelThatTakesNearlyAllOfItsOperationsHasTheirWork() {
    List<Kernel> kernels = KernelTimes.kernels(List.of(run(5)), COSTS, CEILINGS);
    assertThat(kernels).extracting(Kernel::name).startsWith("tiles", "rms").hasSize(4);
    assertThat(kernels.stream().mapToDouble(Kernel::percent).sum()).isEqualTo(100, within(1e-9));
    Kernel tiles = kernels.getFirst();
    assertThat(tiles.calls()).isEqualTo(2);
    assertThat(tiles.operation()).contains("down");
    assertThat(tiles.timeMs()).isEqualTo(190e-6, within(1e-15));
    assertThat(tiles.operationPercent()).hasValue(95);
    assertThat(tiles.grid()).contains(List.of(7L, 2L, 1L));
    assertThat(tiles.block()).hasValue(128);
    assertThat(tiles.flops()).hasValue(8000);
    assertThat(tiles.bytes()).hasValue(600);
    assertThat(tiles.gbs().orElseThrow()).isEqualTo(600 / 190.0, within(1e-12));
    assertThat(tiles.tflops().orElseThrow()).isEqualTo(8.000 / 190.0, within(1e-12));
    // 8 ns at the tensor cores' roof, 60 by bandwidth; 80 under the roof of F32.
    assertThat(tiles.bound()).contains(Bound.OVERHEAD);
  }

  @Test
  void whatIsNotKnownIsAbsent() {
    List<Kernel> kernels = KernelTimes.kernels(List.of(run(6)), COSTS, CEILINGS);
    for (String name : List.of("tiles", "combine")) {
      Kernel kernel = find(kernels, name);
      assertThat(kernel.flops()).isEmpty();
      assertThat(kernel.bytes()).isEmpty();
      assertThat(kernel.gbs()).isEmpty();
      assertThat(kernel.tflops()).isEmpty();
      assertThat(kernel.bound()).isEmpty();
    }
    assertThat(find(kernels, "rms").bytes()).hasValue(100);
    Kernel upload = find(kernels, "upload");
    assertThat(upload.operation()).isEmpty();
    assertThat(upload.operationPercent()).isEmpty();
    assertThat(upload.grid()).isEmpty();
    assertThat(upload.flops()).isEmpty();
    assertThat(upload.bytes()).hasValue(64); // which a copy knows of itself
    assertThat(upload.gbs()).hasValue(6.4);
    String json = RunJson.line(upload);
    assertThat(json).doesNotContain("flops").doesNotContain("grid").doesNotContain("operation");
    assertThat(json).contains("\"phase\":\"decode\"", "\"time_ms\":", "\"gbs\":6.4");
  }

  @Test
  void timesAreMediansOfTheRuns() {
    List<Kernel> kernels = KernelTimes.kernels(List.of(run(5), run(1), run(2)), COSTS, CEILINGS);
    assertThat(find(kernels, "combine").timeMs()).isEqualTo(4e-6, within(1e-15));
  }

  @Test
  void thePhaseIsWhatTheDeviceDidAndDidNot() {
    DevicePhase phase = KernelTimes.phase(List.of(run(5)), 0.0003);
    assertThat(phase.launches()).isEqualTo(6);
    assertThat(phase.kernelMs()).isEqualTo(220e-6, within(1e-12));
    assertThat(phase.copyMs()).isEqualTo(10e-6, within(1e-12));
    assertThat(phase.idleMs()).isEqualTo(30e-6, within(1e-12));
    assertThat(phase.idlePercent()).isEqualTo(100 * 30 / 260.0, within(1e-9));
    assertThat(phase.recordedMs()).isEqualTo(400e-6, within(1e-12));
    assertThat(phase.timeMs()).isEqualTo(0.0003);
  }

  @Test
  void anOperationMultipliesWithWhatMostOfItsTimeGoesTo() {
    assertThat(KernelTimes.arithmetic(run(49)))
        .isEqualTo(Map.of("down", Arithmetic.BF16_TENSOR_CORES, "norm", Arithmetic.F32));
    assertThat(KernelTimes.arithmetic(run(51))).containsEntry("down", Arithmetic.F32);
  }

  @Test
  void runsWithDifferentOperationsAreNotMatched() {
    assertThatThrownBy(() -> KernelTimes.kernels(List.of(run(5)), COSTS.subList(0, 2), CEILINGS))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("decode");
  }
}
