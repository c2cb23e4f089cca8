package dev.lathe.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.JCudaDriver;

/** Moments on the device's clock, by number; read once all work is queued. */
final class BenchEvents implements AutoCloseable {
  private final CudaContext context;
  private final List<CUevent> events = new ArrayList<>();

  BenchEvents(CudaContext context) {
    this.context = context;
  }

  /** The moment when what was put on the stream so far is done. */
  int record() {
    CUevent event = new CUevent();
    context.enter();
    context.check(
        JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_DEFAULT), "cuEventCreate");
    events.add(event);
    context.check(JCudaDriver.cuEventRecord(event, context.stream()), "cuEventRecord");
    return events.size() - 1;
  }

  /** Microseconds from one to the other; waits for the other. */
  double micros(int start, int end) {
    context.check(JCudaDriver.cuEventSynchronize(events.get(end)), "cuEventSynchronize");
    float[] milliseconds = new float[1];
    context.check(
        JCudaDriver.cuEventElapsedTime(milliseconds, events.get(start), events.get(end)),
        "cuEventElapsedTime");
    return milliseconds[0] * 1e3;
  }

  @Override
  public void close() {
    events.forEach(event -> context.release(JCudaDriver.cuEventDestroy(event), "cuEventDestroy"));
  }
}
