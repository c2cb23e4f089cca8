package dev.lathe.measure;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.DeviceRecorder;
import dev.lathe.measure.Profile.DevicePhase;
import dev.lathe.measure.Profile.Kernel;
import dev.lathe.measure.Profiler.Options;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.model.Decoder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Runs a request with every launch recorded, as often as the profiler asks for. Where the backend
 * records nothing it runs nothing, and there are no kernels.
 */
final class LaunchRecorder implements AutoCloseable {
  /** What recording takes. */
  private record Means(DeviceRecorder recorder, TracingBackend tracing, Decoder view) {}

  private final Options options;
  private final Optional<Means> means;
  private final List<List<TracedPhase>> runs = new ArrayList<>();

  private LaunchRecorder(Options options, Optional<Means> means) {
    this.options = options;
    this.means = means;
  }

  static LaunchRecorder open(Decoder decoder, OperationNames names, Options options) {
    return new LaunchRecorder(
        options,
        decoder
            .backend()
            .newRecorder()
            .map(recorder -> {
              TracingBackend tracing = new TracingBackend(decoder.backend(), names, recorder);
              return new Means(recorder, tracing, decoder.over(tracing));
            }));
  }

  void warmUp() {
    means.ifPresent(m -> TracedPhase.run(m.view(), m.tracing(), m.recorder(), options));
  }

  void run() {
    means.ifPresent(m -> runs.add(TracedPhase.run(m.view(), m.tracing(), m.recorder(), options)));
  }

  private List<TracedPhase> of(String phase) {
    return runs.stream()
        .flatMap(List::stream)
        .filter(traced -> traced.phase().equals(phase))
        .toList();
  }

  /** What each operation multiplies with; empty where that is not seen. */
  Map<String, Arithmetic> arithmetic(String phase) {
    return runs.isEmpty() ? Map.of() : KernelTimes.arithmetic(of(phase).getLast());
  }

  List<Kernel> kernels(String phase, List<Event> costs, Ceilings ceilings) {
    return runs.isEmpty() ? List.of() : KernelTimes.kernels(of(phase), costs, ceilings);
  }

  Optional<DevicePhase> phase(String phase, double timeMs) {
    return runs.isEmpty() ? Optional.empty() : Optional.of(KernelTimes.phase(of(phase), timeMs));
  }

  OptionalLong emptyNanos() {
    return runs.isEmpty()
        ? OptionalLong.empty()
        : OptionalLong.of(runs.getLast().getLast().record().emptyNanos());
  }

  /** The phases of the last run. */
  List<TracedPhase> last() {
    return runs.isEmpty() ? List.of() : runs.getLast();
  }

  @Override
  public void close() {
    means.ifPresent(m -> {
      m.view().close();
      m.tracing().close();
      m.recorder().close();
    });
  }
}
