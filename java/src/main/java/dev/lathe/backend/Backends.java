package dev.lathe.backend;

import dev.lathe.backend.BackendSelector.Selection;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cpu.Nd4jBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.backend.cuda.CudaProbe;
import dev.lathe.backend.reference.ReferenceBackend;
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
    boolean maybeCuda = requested.equals("auto") || requested.equals("cuda");
    Selection chosen =
        BackendSelector.select(requested, maybeCuda ? whyCudaCannotRun() : Optional.empty());
    int cpuThreads = threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
    OpenedBackend opened =
        switch (chosen.name()) {
          case "cuda" -> throw new IllegalStateException("CUDA was selected but does not exist");
          case "reference" -> new OpenedBackend(new ReferenceBackend(), chosen.reason());
          default -> openCpu(chosen, cpuThreads, cpuKernels);
        };
    log.info("backend={} because {}", chosen.name(), opened.reason());
    return opened;
  }

  private static OpenedBackend openCpu(Selection chosen, int threads, String requested) {
    Selection kernels = BackendSelector.selectKernels(requested, CpuBackend.whyUnusable());
    String reason = chosen.reason() + "; " + kernels.name() + " kernels: " + kernels.reason();
    return new OpenedBackend(
        kernels.name().equals("native") ? CpuBackend.open(threads) : Nd4jBackend.open(threads),
        reason);
  }

  /**
   * Why CUDA cannot run here; empty where it can. The one place, with the case "cuda" above, that
   * CUDA execution plugs into.
   */
  static Optional<String> whyCudaCannotRun() {
    CudaProbe probe = CudaDriver.probe();
    return Optional.of(
        probe.usable()
            ? "this version of Lathe cannot execute on CUDA yet (the device would be %s)"
                .formatted(probe.deviceName())
            : probe.reason());
  }
}
