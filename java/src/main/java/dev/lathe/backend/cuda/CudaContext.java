package dev.lathe.backend.cuda;

import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.LatheException;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Device 0's primary context, the one that cuBLAS and everything else in the process shares, and
 * the stream on which all work is put. Every call of CUDA goes through {@link #enter} and {@link
 * #check}: the first makes the context current in the calling thread, the second turns what the
 * driver answers into an exception.
 *
 * <p>Used by one platform thread at a time. A virtual thread is refused: it may go on in another
 * platform thread between two calls, where the context is not current.
 *
 * <p>Errors of kernels come with a later call, and stick: everything after them fails. So a message
 * names the last kernel that was launched, and what is closed after such an error says nothing
 * more.
 */
final class CudaContext implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(CudaContext.class);

  private static final long NO_THREAD = -1;

  private final CUdevice device = new CUdevice();
  private final CUcontext context = new CUcontext();
  private final CUstream stream = new CUstream();
  private final DeviceLimits limits;

  /** The thread that the context is known to be current in; ids are never given twice. */
  private long currentThread = NO_THREAD;

  private String lastKernel = "";
  private boolean capturing;
  private boolean lost;
  private boolean closed;

  private CudaContext() {
    refuseVirtual(Thread.currentThread());
    check(JCudaDriver.cuDeviceGet(device, 0), "cuDeviceGet");
    check(JCudaDriver.cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain");
    try {
      enter();
      check(
          JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING),
          "cuStreamCreate");
      limits = DeviceLimits.of(this);
    } catch (RuntimeException | Error e) {
      JCudaDriver.cuDevicePrimaryCtxRelease(device);
      throw e;
    }
  }

  /**
   * Opens device 0.
   *
   * @throws BackendUnusableException if there is none that can be used
   */
  static CudaContext open() {
    CudaProbe probe = CudaDriver.probe();
    if (!probe.usable()) {
      throw new BackendUnusableException("backend cuda cannot run here: " + probe.reason());
    }
    JCudaDriver.setExceptionsEnabled(false); // check() makes better ones
    return new CudaContext();
  }

  /** Makes the context current in the calling thread; every public operation starts with it. */
  void enter() {
    Thread thread = Thread.currentThread();
    if (thread.threadId() == currentThread) {
      return;
    }
    refuseVirtual(thread);
    if (closed) {
      throw new IllegalStateException("the CUDA context is closed");
    }
    check(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent");
    currentThread = thread.threadId();
  }

  private static void refuseVirtual(Thread thread) {
    if (thread.isVirtual()) {
      throw new IllegalStateException(
          "CUDA is called from the virtual thread " + thread + "; it needs a platform thread");
    }
  }

  /**
   * Throws for every answer but success.
   *
   * @param call the driver's function, for the message
   * @throws LatheException which names the call, the error and the last kernel that was launched
   */
  void check(int result, String call) {
    if (result != CUresult.CUDA_SUCCESS) {
      throw failure(result, call);
    }
  }

  private LatheException failure(int result, String call) {
    lost |= isSticky(result);
    String[] text = new String[1];
    JCudaDriver.cuGetErrorString(result, text);
    StringBuilder message = new StringBuilder("CUDA failed: ");
    message.append(call).append(" answered ").append(CUresult.stringFor(result));
    if (text[0] != null) {
      message.append(" (").append(text[0]).append(')');
    }
    if (!lastKernel.isEmpty()) {
      message.append("; the last kernel launched was ").append(lastKernel);
    }
    String report = lost && CudaDriver.kind().emulated() ? new Emulator().lastReport() : "";
    if (!report.isEmpty()) {
      message.append("; the emulated GPU reports: ").append(report);
    }
    return new LatheException(LatheException.FAILED, message.toString());
  }

  /**
   * Whether nothing works in this context any more: illegal address and instruction, assert,
   * hardware stack error, misaligned address, failed or timed-out launch, uncorrectable ECC error,
   * device lost.
   */
  private static boolean isSticky(int result) {
    return switch (result) {
      case CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,
          CUresult.CUDA_ERROR_LAUNCH_TIMEOUT,
          CUresult.CUDA_ERROR_ASSERT,
          CUresult.CUDA_ERROR_HARDWARE_STACK_ERROR,
          CUresult.CUDA_ERROR_ILLEGAL_INSTRUCTION,
          CUresult.CUDA_ERROR_MISALIGNED_ADDRESS,
          CUresult.CUDA_ERROR_INVALID_ADDRESS_SPACE,
          CUresult.CUDA_ERROR_INVALID_PC,
          CUresult.CUDA_ERROR_LAUNCH_FAILED,
          CUresult.CUDA_ERROR_ECC_UNCORRECTABLE,
          CUresult.CUDA_ERROR_UNKNOWN ->
          true;
      default -> false;
    };
  }

  /** Whether launches go into a graph instead of being carried out. */
  void setCapturing(boolean capturing) {
    this.capturing = capturing;
  }

  /**
   * Refuses what cannot be part of a graph.
   *
   * @throws IllegalStateException during a capture
   */
  void refuseCapture(String what) {
    if (capturing) {
      throw new IllegalStateException(what + " within operations that are to be replayed");
    }
  }

  /** Whether an error has made this context unusable. */
  boolean isLost() {
    return lost;
  }

  /** Names the kernel that an error with a later call is most likely of. */
  void launched(String kernel) {
    lastKernel = kernel;
  }

  /** Waits for all work that was put on the stream. */
  void synchronize() {
    enter();
    refuseCapture("waiting for the device");
    check(JCudaDriver.cuStreamSynchronize(stream), "cuStreamSynchronize");
  }

  int attribute(int attribute) {
    int[] value = new int[1];
    check(JCudaDriver.cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
    return value[0];
  }

  CUstream stream() {
    return stream;
  }

  CUdevice device() {
    return device;
  }

  DeviceLimits limits() {
    return limits;
  }

  /**
   * Releases the context; what was made in it goes before. After an error that sticks, answers are
   * only logged: they repeat it.
   */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    enter();
    release(JCudaDriver.cuStreamDestroy(stream), "cuStreamDestroy");
    // It stays current in this thread: another user of the primary context may count on that.
    release(JCudaDriver.cuDevicePrimaryCtxRelease(device), "cuDevicePrimaryCtxRelease");
    currentThread = NO_THREAD;
    closed = true;
  }

  /** What a release answers: after a sticky error it is that error again. */
  void release(int result, String call) {
    if (result == CUresult.CUDA_SUCCESS) {
      return;
    }
    if (!lost) {
      throw failure(result, call);
    }
    log.debug("after the error: {} answered {}", call, CUresult.stringFor(result));
  }
}
