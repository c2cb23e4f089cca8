package dev.lathe.measure;

import dev.lathe.backend.DeviceRecord;
import dev.lathe.backend.DeviceRecorder;
import dev.lathe.measure.ProfiledRequest.Times;
import dev.lathe.measure.ProfiledRequest.Watch;
import dev.lathe.measure.Profiler.Options;
import dev.lathe.measure.TracingBackend.Span;
import dev.lathe.model.Decoder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One phase of a request with every launch recorded: no graphs, two marks a launch, nothing waited
 * for between operations.
 *
 * @param steps forward passes as the host saw them
 * @param operations in the order in which they were asked for, with their launches
 * @param hostNanos of the whole phase on the host's clock, until the device was done
 */
record TracedPhase(
    String phase,
    List<HostStep> steps,
    List<Span> operations,
    DeviceRecord record,
    long hostNanos) {

  /** A forward pass, or a step of the engine: from the call to its return. */
  record HostStep(long startNanos, long endNanos) {}

  /** Runs a request through a view of its decoder, and records its phases. */
  static List<TracedPhase> run(
      Decoder view, TracingBackend tracing, DeviceRecorder recorder, Options options) {
    Recording recording = new Recording(tracing, recorder);
    Times times = ProfiledRequest.run(view, options, System::nanoTime, recording);
    List<TracedPhase> phases = new ArrayList<>();
    recording.records.forEach((phase, recorded) ->
        phases.add(
            new TracedPhase(
                phase,
                recording.steps.get(phase),
                recording.operations.get(phase),
                recorded,
                times.of(phase))));
    return phases;
  }

  private static final class Recording implements Watch {
    private final TracingBackend tracing;
    private final DeviceRecorder recorder;
    final Map<String, DeviceRecord> records = new LinkedHashMap<>();
    final Map<String, List<Span>> operations = new LinkedHashMap<>();
    final Map<String, List<HostStep>> steps = new LinkedHashMap<>();
    private List<HostStep> current = List.of();
    private long stepStart;

    Recording(TracingBackend tracing, DeviceRecorder recorder) {
      this.tracing = tracing;
      this.recorder = recorder;
    }

    @Override
    public void begin(String phase) {
      tracing.takeSpans();
      current = new ArrayList<>();
      recorder.start(DeviceRecorder.Detail.LAUNCHES);
    }

    @Override
    public void end(String phase) {
      records.put(phase, recorder.stop());
      operations.put(phase, tracing.takeSpans());
      steps.put(phase, List.copyOf(current));
    }

    @Override
    public void stepBegins() {
      stepStart = System.nanoTime();
    }

    @Override
    public void stepEnds() {
      current.add(new HostStep(stepStart, System.nanoTime()));
    }
  }
}
