package dev.lathe.measure;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceTimer;
import dev.lathe.measure.OperationNames.Name;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * A view of another backend that records what each operation took and what work it was. It waits
 * for the device before and after each, so operations cannot overlap and launches cannot hide: sums
 * of its times are more than an undisturbed pass takes, which the profiler measures beside it.
 *
 * <p>Closing it leaves the other backend open.
 */
public final class TimingBackend extends OperationView {
  /**
   * An operation that was carried out.
   *
   * @param layer block that it belongs to; -1 where it belongs to none
   * @param startNanos on the clock of this backend
   * @param bytes the least that it had to move ({@link Bytes})
   * @param arithmetic what it multiplies with, as far as the backend knows beforehand
   */
  public record Event(
      String name,
      int layer,
      long startNanos,
      long nanos,
      long flops,
      long bytes,
      Arithmetic arithmetic) {}

  private static final int OVERHEAD_ROUNDS = 1001;

  private final Backend timed;
  private final LongSupplier clock;

  /** Where the device has a clock, durations are its own, without what the host takes. */
  private final Optional<DeviceTimer> timer;

  private final List<Event> events = new ArrayList<>();

  public TimingBackend(Backend timed, OperationNames names, LongSupplier nanoClock) {
    super(timed, names);
    this.timed = timed;
    this.clock = nanoClock;
    this.timer = timed.newTimer();
  }

  /** Takes what was recorded since the last call. */
  public List<Event> takeEvents() {
    List<Event> taken = List.copyOf(events);
    events.clear();
    return taken;
  }

  /** What an operation that does nothing would be recorded with: median of many, nanoseconds. */
  public double overheadNanos() {
    double[] nanos = new double[OVERHEAD_ROUNDS];
    for (int i = 0; i < nanos.length; i++) {
      timed.synchronize();
      nanos[i] = nanosOf(() -> {});
    }
    return Statistics.median(nanos);
  }

  private long nanosOf(Runnable operation) {
    if (timer.isPresent()) {
      timer.get().start();
      operation.run();
      return timer.get().stopNanos();
    }
    long start = clock.getAsLong();
    operation.run();
    timed.synchronize();
    return clock.getAsLong() - start;
  }

  @Override
  void carryOut(Name name, Supplier<Cost> cost, Runnable operation) {
    Cost work = cost.get();
    timed.synchronize();
    long start = clock.getAsLong();
    long nanos = nanosOf(operation);
    events.add(
        new Event(
            name.operation(),
            name.layer(),
            start,
            nanos,
            work.flops(),
            work.bytes(),
            work.arithmetic()));
  }

  @Override
  public void close() {
    events.clear();
    timer.ifPresent(DeviceTimer::close);
  }
}
