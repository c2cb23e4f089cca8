package dev.lathe.backend.cuda;

import java.util.HashMap;
import java.util.Map;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.JCudaDriver;

/** The kernels of a context. A module is loaded when its first kernel is asked for. */
final class CudaKernels implements AutoCloseable {
  private final CudaContext context;
  private final Map<String, CUmodule> modules = new HashMap<>();
  private final Map<String, CudaKernel> kernels = new HashMap<>();

  CudaKernels(CudaContext context) {
    this.context = context;
  }

  /**
   * @param module the .cu file's name without its suffix, such as {@code rms_norm}
   * @param name the kernel's, such as {@code rms_norm_warp_f32}
   * @throws dev.lathe.error.LatheException if the device cannot run the module, or it has no such
   *     kernel
   * @throws IllegalStateException if the module was not built; says why
   */
  CudaKernel get(String module, String name) {
    String key = module + ":" + name;
    CudaKernel known = kernels.get(key);
    if (known != null) {
      return known.restart();
    }
    context.enter();
    CUfunction function = new CUfunction();
    context.check(
        JCudaDriver.cuModuleGetFunction(function, module(module), name),
        "cuModuleGetFunction of " + name + " in module " + module);
    CudaKernel kernel = new CudaKernel(context, function, name, KernelArithmetic.of(module, name));
    kernels.put(key, kernel);
    return kernel;
  }

  private CUmodule module(String name) {
    CUmodule known = modules.get(name);
    if (known != null) {
      return known;
    }
    context.refuseCapture("loading module " + name);
    CUmodule loaded = new CUmodule();
    context.listener().waits("load a module");
    context.check(
        JCudaDriver.cuModuleLoadData(loaded, CudaDriver.moduleImage(name)),
        "cuModuleLoadData of module " + name);
    context.listener().waited();
    modules.put(name, loaded);
    return loaded;
  }

  CudaContext context() {
    return context;
  }

  /** Unloads the modules; nothing of them may still run. */
  @Override
  public void close() {
    context.enter();
    kernels.clear();
    modules
        .values()
        .forEach(loaded -> context.release(JCudaDriver.cuModuleUnload(loaded), "cuModuleUnload"));
    modules.clear();
  }
}
