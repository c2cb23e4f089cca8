package dev.lathe.measure;

import dev.lathe.backend.DeviceRecord;
import dev.lathe.measure.ProfiledRequest.Times;
import dev.lathe.measure.Timeline.Group;
import dev.lathe.measure.TimingBackend.Event;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/** A profile, and its last repetition as it ran. */
public final class Profiled {
  private final Profile profile;
  private final List<Times> times;
  private final List<Event> events;
  private final List<TracedPhase> phases;

  Profiled(Profile profile, List<Times> times, List<Event> events, List<TracedPhase> phases) {
    this.profile = profile;
    this.times = List.copyOf(times);
    this.events = List.copyOf(events);
    this.phases = List.copyOf(phases);
  }

  public Profile profile() {
    return profile;
  }

  /** What each undisturbed repetition took: the lines of {@code samples.jsonl}. */
  public List<ObjectNode> samples() {
    List<ObjectNode> samples = new ArrayList<>();
    for (int i = 0; i < times.size(); i++) {
      samples.add(
          RunJson.mapper()
              .createObjectNode()
              .put("repetition", i)
              .put("prefill_ms", times.get(i).prefillNanos() / 1e6)
              .put("decode_ms", times.get(i).decodeNanos() / 1e6));
    }
    return samples;
  }

  /**
   * {@code trace.json}, which ui.perfetto.dev opens: host, device and waits of each phase, and of
   * the generation that {@code steps} recorded. Where the device records nothing, the operations as
   * they were timed one by one.
   *
   * @param what was traced
   */
  public byte[] trace(Optional<DecodeSteps> steps, String what) {
    if (phases.isEmpty()) {
      return Trace.json(events, what);
    }
    List<Group> groups = new ArrayList<>();
    List<DeviceRecord> records = new ArrayList<>();
    for (TracedPhase phase : phases) {
      groups.add(Timeline.of(phase));
      records.add(phase.record());
    }
    steps.ifPresent(s -> {
      groups.add(Timeline.of(s.last()));
      records.add(s.last().record());
    });
    double worst = records.stream().mapToLong(DeviceRecord::clockErrorNanos).max().orElse(0) / 1e3;
    return Trace.json(groups, Map.of("what", what, "device_clock_error_us", worst));
  }
}
