package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord.Kind;
import java.lang.foreign.MemorySegment;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.JCudaDriver;

/**
 * Copies between the host and the device through two buffers of pinned memory: while the device
 * fetches one, the host fills the other. A mapped file is read so without ever being pinned, at the
 * speed of the slower of disk and bus.
 */
final class CudaTransfers implements AutoCloseable {
  /** Large enough for the bus to reach its speed, small enough to be pinned anywhere. */
  private static final long BUFFER_BYTES = 8L << 20;

  private final class Buffer {
    final HostPointer pointer = new HostPointer();
    final MemorySegment memory;

    /** Reached when the device has done the last copy from or to this buffer. */
    final CUevent done = new CUevent();

    Buffer() {
      context.check(
          JCudaDriver.cuMemHostAlloc(pointer, BUFFER_BYTES, 0), "cuMemHostAlloc of a copy buffer");
      memory = MemorySegment.ofAddress(pointer.address()).reinterpret(BUFFER_BYTES);
      context.check(
          JCudaDriver.cuEventCreate(done, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
    }

    void await(String where) {
      context.listener().waits(where);
      context.check(JCudaDriver.cuEventSynchronize(done), "cuEventSynchronize");
      context.listener().waited();
    }

    void mark() {
      context.check(JCudaDriver.cuEventRecord(done, context.stream()), "cuEventRecord");
    }

    void release() {
      context.release(JCudaDriver.cuEventDestroy(done), "cuEventDestroy");
      context.release(JCudaDriver.cuMemFreeHost(pointer), "cuMemFreeHost");
    }
  }

  private final CudaContext context;
  private final Buffer[] buffers;
  private int next;

  CudaTransfers(CudaContext context) {
    this.context = context;
    context.enter();
    buffers = new Buffer[] {new Buffer(), new Buffer()};
  }

  /** The buffer whose last copy is the longest ago, free to be written and read by the host. */
  private Buffer nextBuffer() {
    Buffer buffer = buffers[next];
    next = 1 - next;
    buffer.await("copy buffer");
    return buffer;
  }

  /** When it returns, {@code host} is free; the copy is on the stream. */
  void upload(MemorySegment host, long device) {
    context.enter();
    context.refuseCapture("an upload");
    for (long at = 0; at < host.byteSize(); at += BUFFER_BYTES) {
      long bytes = Math.min(BUFFER_BYTES, host.byteSize() - at);
      Buffer buffer = nextBuffer();
      MemorySegment.copy(host, at, buffer.memory, 0, bytes);
      LaunchListener listener = context.listener();
      listener.before(Kind.COPY, "upload", Arithmetic.F32, bytes);
      context.check(
          JCudaDriver.cuMemcpyHtoDAsync(
              new DevicePointer(device + at), buffer.pointer, bytes, context.stream()),
          "cuMemcpyHtoDAsync");
      listener.after();
      buffer.mark();
    }
  }

  /** Waits for all that is on the stream; when it returns, {@code host} is filled. */
  void download(long device, MemorySegment host) {
    context.enter();
    context.refuseCapture("a download");
    long bytes = host.byteSize();
    long asked = 0;
    Buffer earlier = null;
    for (long at = 0; at < bytes; at += BUFFER_BYTES) {
      // One chunk is on its way while the one before it is copied out.
      for (; asked < bytes && asked <= at + BUFFER_BYTES; asked += BUFFER_BYTES) {
        Buffer buffer = nextBuffer();
        long part = Math.min(BUFFER_BYTES, bytes - asked);
        LaunchListener listener = context.listener();
        listener.before(Kind.COPY, "download", Arithmetic.F32, part);
        context.check(
            JCudaDriver.cuMemcpyDtoHAsync(
                buffer.pointer, new DevicePointer(device + asked), part, context.stream()),
            "cuMemcpyDtoHAsync");
        listener.after();
        buffer.mark();
        if (asked == 0) {
          earlier = buffer;
        }
      }
      earlier.await("download");
      MemorySegment.copy(earlier.memory, 0, host, at, Math.min(BUFFER_BYTES, bytes - at));
      earlier = buffers[0] == earlier ? buffers[1] : buffers[0];
    }
  }

  /** The copies must be done. */
  @Override
  public void close() {
    context.enter();
    for (Buffer buffer : buffers) {
      buffer.release();
    }
  }
}
