package dev.lathe.measure;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceRecorder;
import dev.lathe.measure.OperationNames.Name;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * A view of another backend that says which operation asked for which launches of a recording. It
 * waits for nothing: the device runs behind the host as it does without.
 *
 * <p>Closing it leaves the other backend open.
 */
final class TracingBackend extends OperationView {
  /**
   * An operation, as the host saw it.
   *
   * @param layer block that it belongs to; -1 where it belongs to none
   * @param startNanos on the host's clock, like {@code endNanos}: when it was asked for and when
   *     the call returned; what it asked of the device may come later
   * @param firstLaunch of the recording, and {@code endLaunch} the one behind its last
   */
  record Span(
      String name, int layer, long startNanos, long endNanos, int firstLaunch, int endLaunch) {}

  private final DeviceRecorder recorder;
  private final List<Span> spans = new ArrayList<>();

  TracingBackend(Backend traced, OperationNames names, DeviceRecorder recorder) {
    super(traced, names);
    this.recorder = recorder;
  }

  /** Takes what was traced since the last call. */
  List<Span> takeSpans() {
    List<Span> taken = List.copyOf(spans);
    spans.clear();
    return taken;
  }

  @Override
  void carryOut(Name name, Supplier<Cost> cost, Runnable operation) {
    int first = recorder.launches();
    long start = System.nanoTime();
    operation.run();
    spans.add(
        new Span(
            name.operation(), name.layer(), start, System.nanoTime(), first, recorder.launches()));
  }

  @Override
  public void close() {
    spans.clear();
  }
}
