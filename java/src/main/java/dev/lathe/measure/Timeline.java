package dev.lathe.measure;

import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import dev.lathe.backend.DeviceRecord.Wait;
import dev.lathe.measure.TracedPhase.HostStep;
import dev.lathe.measure.TracingBackend.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What host and device did, on one clock, in tracks for {@link Trace}. Each phase is a group with
 * three tracks: the host's steps and operations, what ran on the device, and where the host waited.
 */
final class Timeline {
  static final String HOST = "host: steps and operations";
  static final String DEVICE = "device";
  static final String WAITS = "host waits";

  /**
   * A stretch of a track. Of two in one track, one lies within the other or they don't overlap.
   *
   * @param category for colours and filters in the viewer
   * @param details shown when it is selected
   */
  record Slice(
      String name, String category, long startNanos, long nanos, Map<String, Object> details) {}

  /** Slices in the order in which they began. */
  record Track(String name, List<Slice> slices) {}

  /** Tracks that belong together. */
  record Group(String name, List<Track> tracks) {}

  private Timeline() {}

  /** A phase with every launch recorded. */
  static Group of(TracedPhase phase) {
    List<Slice> host = new ArrayList<>();
    for (int i = 0; i < phase.steps().size(); i++) {
      host.add(step(phase.phase() + " step " + i, phase.steps().get(i)));
    }
    for (Span span : phase.operations()) {
      host.add(
          new Slice(
              span.name(),
              category(span.layer()),
              span.startNanos(),
              span.endNanos() - span.startNanos(),
              Map.of("layer", span.layer(), "launches", span.endLaunch() - span.firstLaunch())));
    }
    String[] operations = new String[phase.record().launches().size()];
    for (Span span : phase.operations()) {
      for (int i = span.firstLaunch(); i < span.endLaunch(); i++) {
        operations[i] = span.name();
      }
    }
    return group(
        phase.phase() + ", every launch recorded (slower than undisturbed)",
        host,
        phase.record().launches(),
        operations,
        phase.record().waits());
  }

  /** A generation, its decode steps replayed. */
  static Group of(DecodeSteps.Traced run) {
    List<Slice> host = new ArrayList<>();
    for (int i = 0; i < run.steps().size(); i++) {
      host.add(step("step " + i, run.steps().get(i)));
    }
    List<Launch> launches = run.record().launches();
    return group(
        "generation, decode steps replayed (copies are not recorded)",
        host,
        launches,
        new String[launches.size()],
        run.record().waits());
  }

  private static Slice step(String name, HostStep step) {
    return new Slice(
        name, "step", step.startNanos(), step.endNanos() - step.startNanos(), Map.of());
  }

  private static String category(int layer) {
    return layer < 0 ? "model" : "layer " + layer;
  }

  private static Group group(
      String name, List<Slice> host, List<Launch> launches, String[] operations, List<Wait> waits) {
    List<Slice> device = new ArrayList<>();
    for (int i = 0; i < launches.size(); i++) {
      device.add(slice(launches.get(i), operations[i]));
    }
    List<Slice> waited = new ArrayList<>();
    for (Wait wait : waits) {
      waited.add(new Slice(wait.where(), "wait", wait.startNanos(), wait.nanos(), Map.of()));
    }
    // The longer of two that begin together holds the other.
    host.sort(
        Comparator.comparingLong(Slice::startNanos)
            .thenComparing(Comparator.comparingLong(Slice::nanos).reversed()));
    return new Group(
        name, List.of(new Track(HOST, host), new Track(DEVICE, device), new Track(WAITS, waited)));
  }

  private static Slice slice(Launch launch, String operation) {
    Map<String, Object> details = new LinkedHashMap<>();
    if (operation != null) {
      details.put("operation", operation);
    }
    if (launch.kind() == Kind.KERNEL) {
      var grid = launch.grid();
      details.put("grid", "%d x %d x %d".formatted(grid.x(), grid.y(), grid.z()));
      details.put("block", grid.threads());
      details.put("arithmetic", launch.arithmetic().toString());
    }
    if (launch.kind() == Kind.COPY) {
      details.put("bytes", launch.bytes());
    }
    return new Slice(
        launch.name(),
        launch.kind().name().toLowerCase(Locale.ROOT),
        launch.startNanos(),
        launch.nanos(),
        details);
  }
}
