package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord.Grid;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import java.util.List;
import org.junit.jupiter.api.Test;

/** On a timeline written by hand. */
class HostGapTest {
  private static Launch launch(Kind kind, long start, long nanos) {
    return new Launch(kind, "any", Arithmetic.F32, Grid.UNKNOWN, 0, start, nanos);
  }

  @Test
  void whatLiesBetweenStepsAndIsNoKernelIsGap() {
    List<Launch> run =
        List.of(
            launch(Kind.KERNEL, 0, 500), // the prompt
            launch(Kind.REPLAYED, 1000, 100),
            launch(Kind.KERNEL, 1103, 4), // sampling
            launch(Kind.REPLAYED, 1110, 100), // gap 10 - 4 of 110
            launch(Kind.COPY, 1212, 3), // the device computes nothing meanwhile
            launch(Kind.REPLAYED, 1220, 100), // gap 10 of 110
            launch(Kind.KERNEL, 1330, 5)); // nothing follows
    HostGap gap = HostGap.of(List.of(run)).orElseThrow();
    assertThat(gap.steps()).isEqualTo(2);
    assertThat(gap.percent()).isEqualTo(100 * 16 / 220.0, within(1e-12));
    assertThat(gap.gapMicros()).isEqualTo(8e-3, within(1e-12));
    assertThat(gap.stepMicros()).isEqualTo(0.110, within(1e-12));
  }

  @Test
  void aCaptureIsNotCountedAndWhatFollowsItIs() {
    List<Launch> run =
        List.of(
            launch(Kind.REPLAYED, 0, 100),
            launch(Kind.CAPTURED, 100_000, 100), // another shape: milliseconds of capture before
            launch(Kind.REPLAYED, 100_103, 97));
    HostGap gap = HostGap.of(List.of(run)).orElseThrow();
    assertThat(gap.steps()).isEqualTo(1);
    assertThat(gap.percent()).isEqualTo(100 * 3 / 103.0, within(1e-12));
  }

  @Test
  void generationsAreNotOneAfterAnother() {
    List<Launch> first = List.of(launch(Kind.REPLAYED, 0, 90), launch(Kind.REPLAYED, 100, 90));
    List<Launch> second =
        List.of(launch(Kind.REPLAYED, 9000, 180), launch(Kind.REPLAYED, 9200, 180));
    HostGap gap = HostGap.of(List.of(first, second)).orElseThrow();
    assertThat(gap.steps()).isEqualTo(2);
    assertThat(gap.percent()).isEqualTo(100 * 30 / 300.0, within(1e-12));
    assertThat(gap.runsPercent()).containsExactly(10.0, 10.0);
  }

  @Test
  void withoutReplaysThereIsNoFigure() {
    assertThat(HostGap.of(List.of(List.of(launch(Kind.KERNEL, 0, 9))))).isEmpty();
    assertThat(HostGap.of(List.of(List.of(launch(Kind.REPLAYED, 0, 9))))).isEmpty();
    assertThat(HostGap.of(List.of())).isEmpty();
  }
}
