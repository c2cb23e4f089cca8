package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord;
import dev.lathe.backend.DeviceRecord.Grid;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import dev.lathe.backend.DeviceRecord.Wait;
import dev.lathe.measure.Timeline.Group;
import dev.lathe.measure.Timeline.Slice;
import dev.lathe.measure.Timeline.Track;
import dev.lathe.measure.TracedPhase.HostStep;
import dev.lathe.measure.TracingBackend.Span;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

class TimelineTest {
  private static final Launch UPLOAD =
      new Launch(Kind.COPY, "upload", Arithmetic.F32, Grid.UNKNOWN, 64, 5_000, 10);
  private static final Launch NORM =
      new Launch(Kind.KERNEL, "norm", Arithmetic.F32, new Grid(3, 1, 1, 32), 0, 6_000, 700);

  private static TracedPhase phase() {
    return new TracedPhase(
        "decode",
        List.of(new HostStep(4_000, 5_500)),
        // It begins with its step, and ends before its kernel does.
        List.of(new Span("rms_norm", 2, 4_000, 5_400, 1, 2)),
        new DeviceRecord(
            List.of(UPLOAD, NORM), List.of(new Wait("synchronize", 5_600, 1_200)), 1, 5),
        3_000);
  }

  @Test
  void hostDeviceAndWaitsStandOnOneClock() {
    TraceCheck trace =
        new TraceCheck(Trace.json(List.of(Timeline.of(phase())), Map.of("what", "test")));
    assertThat(trace.tracks).hasSize(3);
    assertThat(trace.metadata.get("what").stringValue()).isEqualTo("test");
    List<JsonNode> host = trace.track("decode", Timeline.HOST);
    assertThat(TraceCheck.names(host)).containsExactly("decode step 0", "rms_norm");
    assertThat(host.getFirst().get("ts").asDouble()).isZero();
    assertThat(host.getFirst().get("dur").asDouble()).isEqualTo(1.5);
    List<JsonNode> device = trace.track("decode", Timeline.DEVICE);
    assertThat(TraceCheck.names(device)).containsExactly("upload", "norm");
    assertThat(device.getFirst().get("args").get("bytes").longValue()).isEqualTo(64);
    JsonNode norm = device.getLast();
    assertThat(norm.get("ts").asDouble()).isEqualTo(2.0);
    assertThat(norm.get("dur").asDouble()).isEqualTo(0.7);
    assertThat(norm.get("args").get("operation").stringValue()).isEqualTo("rms_norm");
    assertThat(norm.get("args").get("grid").stringValue()).isEqualTo("3 x 1 x 1");
    assertThat(norm.get("args").get("block").intValue()).isEqualTo(32);
    List<JsonNode> waits = trace.track("decode", Timeline.WAITS);
    assertThat(TraceCheck.names(waits)).containsExactly("synchronize");
    assertThat(waits.getFirst().get("ts").asDouble()).isEqualTo(1.6);
  }

  @Test
  void aGenerationIsAGroupOfItsOwn() {
    DecodeSteps.Traced run =
        new DecodeSteps.Traced(
            List.of(new HostStep(10, 20), new HostStep(20, 30)),
            new DeviceRecord(
                List.of(new Launch(Kind.REPLAYED, "graph", Arithmetic.F32, Grid.UNKNOWN, 0, 12, 6)),
                List.of(),
                1,
                5));
    TraceCheck trace =
        new TraceCheck(Trace.json(List.of(Timeline.of(phase()), Timeline.of(run)), Map.of()));
    assertThat(trace.tracks).hasSize(6);
    assertThat(TraceCheck.names(trace.track("generation", Timeline.HOST)))
        .containsExactly("step 0", "step 1");
    assertThat(trace.track("generation", Timeline.DEVICE).getFirst().get("cat").stringValue())
        .isEqualTo("replayed");
  }

  private static byte[] slices(Slice... slices) {
    return Trace.json(List.of(new Group("g", List.of(new Track("t", List.of(slices))))), Map.of());
  }

  private static Slice slice(long start, long nanos) {
    return new Slice("any", "any", start, nanos, Map.of());
  }

  /** The check that the other tests lean on sees what is wrong. */
  @Test
  void canariesBrokenTracesAreSeen() {
    new TraceCheck(slices(slice(0, 100), slice(0, 60), slice(60, 40), slice(100, 5)));
    assertThatThrownBy(() -> new TraceCheck(slices(slice(0, 100), slice(50, 100))))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("lies in what it began in");
    assertThatThrownBy(() -> new TraceCheck(slices(slice(0, -1))))
        .isInstanceOf(AssertionError.class);
    assertThatThrownBy(() -> new TraceCheck(slices(slice(9, 1), slice(5, 1))))
        .isInstanceOf(AssertionError.class);
  }
}
