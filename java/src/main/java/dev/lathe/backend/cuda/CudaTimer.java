package dev.lathe.backend.cuda;

import dev.lathe.backend.DeviceTimer;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.JCudaDriver;

/** Time on the device, between two events on the stream: without what the host takes. */
final class CudaTimer implements DeviceTimer {
  private final CudaContext context;
  private final CUevent start = new CUevent();
  private final CUevent end = new CUevent();

  CudaTimer(CudaContext context) {
    this.context = context;
    context.enter();
    context.check(
        JCudaDriver.cuEventCreate(start, CUevent_flags.CU_EVENT_DEFAULT), "cuEventCreate");
    context.check(JCudaDriver.cuEventCreate(end, CUevent_flags.CU_EVENT_DEFAULT), "cuEventCreate");
  }

  @Override
  public void start() {
    context.enter();
    context.refuseCapture("timing");
    context.check(JCudaDriver.cuEventRecord(start, context.stream()), "cuEventRecord");
  }

  @Override
  public long stopNanos() {
    context.enter();
    context.refuseCapture("timing");
    context.check(JCudaDriver.cuEventRecord(end, context.stream()), "cuEventRecord");
    context.check(JCudaDriver.cuEventSynchronize(end), "cuEventSynchronize");
    float[] milliseconds = new float[1];
    context.check(JCudaDriver.cuEventElapsedTime(milliseconds, start, end), "cuEventElapsedTime");
    return Math.round(milliseconds[0] * 1e6);
  }

  @Override
  public void close() {
    context.enter();
    context.release(JCudaDriver.cuEventDestroy(start), "cuEventDestroy");
    context.release(JCudaDriver.cuEventDestroy(end), "cuEventDestroy");
  }
}
