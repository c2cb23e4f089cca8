package dev.lathe.backend;

import dev.lathe.backend.BackendSelector.Selection;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cpu.Nd4jBackend;
import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.InvalidInputException;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Opens backends by name, and says why it was this one. */
public final class Backends {
  private static final Logger log = LoggerFactory.getLogger(Backends.class);

  private Backends() {}

  /**
   * @param requested auto (CUDA where it can run, else the CPU), cuda, cpu or reference
   * @param threads CPU threads; 0 for as many as this machine offers
   * @param cpuKernels auto (native where they can run, else nd4j), native or nd4j
   * @throws dev.lathe.error.BackendUnusableException if what was asked for cannot run here
   * @throws dev.lathe.error.InvalidInputException if there is no backend or kernel set of that name
   */
  public static OpenedBackend open(String requested, int threads, String cpuKernels) {
    if (threads < 0) {
      throw new InvalidInputException(
          "%d threads: a positive number, or 0 for all of this machine's".formatted(threads));
    }
    // Only those that may run on CUDA look for its driver: looking loads it.
    Selection chosen =
        BackendSelector.select(
            requested,
            switch (requested) {
              case "cuda" -> CudaBackend.whyUnusable();
              case "auto" -> whyNotCudaByItself();
              default -> Optional.empty();
            });
    int cpuThreads = threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
    OpenedBackend opened =
        switch (chosen.name()) {
          case "cuda" -> openCuda(requested, chosen, cpuThreads, cpuKernels);
          case "reference" -> new OpenedBackend(new ReferenceBackend(), chosen.reason());
          default -> openCpu(chosen, cpuThreads, cpuKernels);
        };
    log.info("backend={} because {}", opened.backend().name(), opened.reason());
    return opened;
  }

  /** Where nobody insists on CUDA, the CPU takes over from a device that turns out unusable. */
  private static OpenedBackend openCuda(
      String requested, Selection chosen, int cpuThreads, String cpuKernels) {
    try {
      CudaBackend cuda = CudaBackend.open();
      return new OpenedBackend(
          cuda, chosen.reason() + "; " + cuda.device().name() + ", " + cuda.device().features());
    } catch (BackendUnusableException e) {
      if (requested.equals("cuda")) {
        throw e;
      }
      return openCpu(new Selection("cpu", e.getMessage()), cpuThreads, cpuKernels);
    }
  }

  private static OpenedBackend openCpu(Selection chosen, int threads, String requested) {
    Selection kernels = BackendSelector.selectKernels(requested, CpuBackend.whyUnusable());
    String reason = chosen.reason() + "; " + kernels.name() + " kernels: " + kernels.reason();
    return new OpenedBackend(
        kernels.name().equals("native") ? CpuBackend.open(threads) : Nd4jBackend.open(threads),
        reason);
  }

  /**
   * Why CUDA is not what runs where nothing was asked for: besides what makes it unusable, that the
   * GPU is an emulated one which the environment does not ask for.
   */
  private static Optional<String> whyNotCudaByItself() {
    Optional<String> unusable = CudaBackend.whyUnusable();
    boolean wanted = System.getenv(CudaDriver.EMULATE_VARIABLE) != null;
    return unusable.isEmpty() && CudaDriver.kind().emulated() && !wanted
        ? Optional.of("the only GPU is an emulated one")
        : unusable;
  }
}
