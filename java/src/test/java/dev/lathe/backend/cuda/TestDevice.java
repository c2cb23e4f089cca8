package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.Map;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * A context of its own on device 0, through unmodified JCuda. Its end frees all that was allocated
 * in it.
 */
final class TestDevice implements AutoCloseable {
  private final CUcontext context = new CUcontext();
  private final Map<String, CUmodule> modules = new HashMap<>();

  TestDevice() {
    CudaProbe probe = CudaDriver.probe();
    assertThat(probe.usable()).as(probe.reason()).isTrue();
    JCudaDriver.setExceptionsEnabled(false); // results are asserted on, here and in the tests
    CUdevice device = new CUdevice();
    check(JCudaDriver.cuDeviceGet(device, 0));
    check(JCudaDriver.cuCtxCreate(context, 0, device));
  }

  /** Makes its context this thread's. */
  void makeCurrent() {
    check(JCudaDriver.cuCtxSetCurrent(context));
  }

  CUdeviceptr allocate(long bytes) {
    CUdeviceptr pointer = new CUdeviceptr();
    check(JCudaDriver.cuMemAlloc(pointer, bytes));
    return pointer;
  }

  /** Pinned memory of the host's; it goes with the context. */
  Pointer pinned(long bytes) {
    Pointer pointer = new Pointer();
    check(JCudaDriver.cuMemAllocHost(pointer, bytes));
    return pointer;
  }

  CUdeviceptr upload(float[] values) {
    CUdeviceptr pointer = allocate(4L * values.length);
    check(JCudaDriver.cuMemcpyHtoD(pointer, Pointer.to(values), 4L * values.length));
    return pointer;
  }

  CUdeviceptr upload(short[] values) {
    CUdeviceptr pointer = allocate(2L * values.length);
    check(JCudaDriver.cuMemcpyHtoD(pointer, Pointer.to(values), 2L * values.length));
    return pointer;
  }

  float[] downloadFloats(CUdeviceptr pointer, int count) {
    float[] values = new float[count];
    check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), pointer, 4L * count));
    return values;
  }

  short[] downloadShorts(CUdeviceptr pointer, int count) {
    short[] values = new short[count];
    check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), pointer, 2L * count));
    return values;
  }

  CUfunction function(String module, String name) {
    CUfunction function = new CUfunction();
    check(JCudaDriver.cuModuleGetFunction(function, module(module), name));
    return function;
  }

  /** Finds a variable of a module; the result is the driver's. */
  int global(CUdeviceptr pointer, long[] bytes, String module, String name) {
    return JCudaDriver.cuModuleGetGlobal(pointer, bytes, module(module), name);
  }

  private CUmodule module(String name) {
    return modules.computeIfAbsent(
        name,
        wanted -> {
          CUmodule fresh = new CUmodule();
          check(JCudaDriver.cuModuleLoadData(fresh, CudaDriver.moduleImage(wanted)));
          return fresh;
        });
  }

  /** Launches on the default stream and waits; the result is the launch's, or the kernel's. */
  int run(CUfunction function, int blocks, int threads, int sharedBytes, Pointer... arguments) {
    int launched =
        JCudaDriver.cuLaunchKernel(
            function, blocks, 1, 1, threads, 1, 1, sharedBytes, null, Pointer.to(arguments), null);
    return launched != CUresult.CUDA_SUCCESS ? launched : JCudaDriver.cuCtxSynchronize();
  }

  static void check(int result) {
    assertThat(CUresult.stringFor(result)).isEqualTo("CUDA_SUCCESS");
  }

  @Override
  public void close() {
    check(JCudaDriver.cuCtxDestroy(context));
  }
}
