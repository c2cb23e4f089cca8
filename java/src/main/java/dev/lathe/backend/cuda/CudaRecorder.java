package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord;
import dev.lathe.backend.DeviceRecord.Grid;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import dev.lathe.backend.DeviceRecord.Wait;
import dev.lathe.backend.DeviceRecorder;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.JCudaDriver;

/**
 * Two events around everything that is put on the stream, read when recording ends.
 *
 * <p>Where the host's clock stands at a moment of the device's: an event is recorded on an idle
 * stream and waited for, between two readings of the host's clock, so it lies between them; the
 * middle is taken, of the narrowest of {@value #TRIES}. That is done at the start and at the end.
 * The error is half of what lies between the readings, and how far the two clocks have parted.
 */
final class CudaRecorder implements DeviceRecorder, LaunchListener {
  private static final int TRIES = 8;

  /** What is known of a launch before its events are read. */
  private record Pending(
      Kind kind, String name, Arithmetic arithmetic, Grid grid, long bytes, int event) {}

  /** An event, and where it lies on the host's clock. */
  private record Reference(CUevent event, long hostNanos, long errorNanos) {}

  private final CudaContext context;

  /** Made when they are first needed, used again by every recording. */
  private final List<CUevent> events = new ArrayList<>();

  private final List<Pending> pending = new ArrayList<>();
  private final List<Wait> waits = new ArrayList<>();
  private int usedEvents;
  private Detail detail;
  private boolean open;
  private String waitsWhere = "";
  private long waitsSince;
  private Reference first;
  private long emptyNanos;
  private boolean recording;

  CudaRecorder(CudaContext context) {
    this.context = context;
  }

  @Override
  public void start(Detail wanted) {
    if (recording) {
      throw new IllegalStateException("this recorder records already");
    }
    context.enter();
    context.synchronize();
    pending.clear();
    waits.clear();
    usedEvents = 0;
    open = false;
    detail = wanted;
    emptyNanos = emptyNanos();
    first = reference();
    context.listen(this);
    recording = true;
  }

  @Override
  public int launches() {
    return pending.size();
  }

  @Override
  public DeviceRecord stop() {
    if (!recording) {
      throw new IllegalStateException("this recorder records nothing");
    }
    leave();
    context.enter();
    context.synchronize();
    forgetRefused();
    Reference last = reference();
    List<Launch> launches = new ArrayList<>(pending.size());
    // From event to event: a float of milliseconds holds nanoseconds of neighbours, not of the
    // whole recording; and so nothing overlaps.
    long now = first.hostNanos();
    CUevent before = first.event();
    for (Pending launch : pending) {
      CUevent start = events.get(launch.event());
      CUevent end = events.get(launch.event() + 1);
      long from = now + nanosBetween(before, start);
      long nanos = nanosBetween(start, end);
      launches.add(
          new Launch(
              launch.kind(),
              launch.name(),
              launch.arithmetic(),
              launch.grid(),
              launch.bytes(),
              from,
              nanos));
      now = from + nanos;
      before = end;
    }
    long parted = Math.abs(last.hostNanos() - now - nanosBetween(before, last.event()));
    return new DeviceRecord(
        launches, waits, emptyNanos, Math.max(first.errorNanos(), last.errorNanos() + parted));
  }

  private void leave() {
    recording = false;
    context.stopListening();
  }

  private Reference reference() {
    Reference best = null;
    for (int i = 0; i < TRIES; i++) {
      CUevent event = nextEvent();
      long before = System.nanoTime();
      record(event);
      context.check(JCudaDriver.cuEventSynchronize(event), "cuEventSynchronize");
      long between = System.nanoTime() - before;
      if (best == null || between / 2 < best.errorNanos()) {
        best = new Reference(event, before + between / 2, between / 2);
      }
    }
    return best;
  }

  /** What two events with nothing between them are apart: the median of {@value #TRIES}. */
  private long emptyNanos() {
    List<CUevent> marks = new ArrayList<>();
    for (int i = 0; i <= TRIES; i++) {
      marks.add(nextEvent());
      record(marks.getLast());
    }
    context.check(JCudaDriver.cuEventSynchronize(marks.getLast()), "cuEventSynchronize");
    return IntStream.range(0, TRIES)
        .mapToLong(i -> nanosBetween(marks.get(i), marks.get(i + 1)))
        .sorted()
        .skip(TRIES / 2)
        .findFirst()
        .orElseThrow();
  }

  private CUevent nextEvent() {
    if (usedEvents == events.size()) {
      CUevent event = new CUevent();
      context.check(
          JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_DEFAULT), "cuEventCreate");
      events.add(event);
    }
    return events.get(usedEvents++);
  }

  private void record(CUevent event) {
    context.check(JCudaDriver.cuEventRecord(event, context.stream()), "cuEventRecord");
  }

  private long nanosBetween(CUevent from, CUevent to) {
    float[] milliseconds = new float[1];
    context.check(JCudaDriver.cuEventElapsedTime(milliseconds, from, to), "cuEventElapsedTime");
    return Math.round(milliseconds[0] * 1e6);
  }

  @Override
  public void before(
      Kind kind,
      String name,
      Arithmetic arithmetic,
      long gridX,
      int gridY,
      int gridZ,
      int threads,
      long bytes) {
    forgetRefused();
    open = detail == Detail.LAUNCHES || kind != Kind.COPY;
    if (open) {
      int event = usedEvents;
      record(nextEvent());
      nextEvent(); // its place; recorded by after()
      Grid grid = gridX == 0 ? Grid.UNKNOWN : new Grid(gridX, gridY, gridZ, threads);
      pending.add(new Pending(kind, name, arithmetic, grid, bytes, event));
    }
  }

  @Override
  public void after() {
    if (open) {
      record(events.get(usedEvents - 1));
      open = false;
    }
  }

  /** What the driver refused has no end. */
  private void forgetRefused() {
    if (open) {
      pending.removeLast();
      open = false;
    }
  }

  @Override
  public void waits(String where) {
    waitsWhere = where;
    waitsSince = System.nanoTime();
  }

  @Override
  public void waited() {
    waits.add(new Wait(waitsWhere, waitsSince, System.nanoTime() - waitsSince));
  }

  @Override
  public void close() {
    if (recording) {
      leave();
    }
    context.enter();
    events.forEach(event -> context.release(JCudaDriver.cuEventDestroy(event), "cuEventDestroy"));
    events.clear();
  }
}
