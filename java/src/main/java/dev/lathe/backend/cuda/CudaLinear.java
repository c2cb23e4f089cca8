package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.RmsNorm;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Linear layers: a stack part by part, each by the kernels that the {@link Dispatcher} chooses. On
 * a real GPU both candidates are timed when a shape is first met.
 */
final class CudaLinear implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(CudaLinear.class);

  private static final int TIMED_RUNS = 3;

  private final LinearKernels own;
  private final Optional<CublasGemm> cublas;
  private final Dispatcher dispatcher;
  private final CudaWorkspace scratch;
  private final Optional<CudaTimer> timer;

  /**
   * @param scratch for outputs of runs that are only timed
   * @param timer empty where nothing is measured, because time means nothing
   */
  private CudaLinear(
      LinearKernels own,
      Optional<CublasGemm> cublas,
      Dispatcher dispatcher,
      CudaWorkspace scratch,
      Optional<CudaTimer> timer) {
    this.own = own;
    this.cublas = cublas;
    this.dispatcher = dispatcher;
    this.scratch = scratch;
    this.timer = timer;
  }

  /** With cuBLAS where it can be used; timed where the device's time means something. */
  static CudaLinear open(
      CudaContext context, CudaKernels kernels, Supplier<CudaWorkspace> newWorkspace) {
    Optional<String> whyNoCublas = CublasLibrary.whyUnusable();
    log.debug("products: {}", whyNoCublas.orElseGet(CublasLibrary::description));
    return new CudaLinear(
        new LinearKernels(kernels, context.limits()),
        whyNoCublas.isPresent()
            ? Optional.empty()
            : Optional.of(new CublasGemm(context, kernels, newWorkspace.get())),
        new Dispatcher(whyNoCublas.map(why -> "cuBLAS can't be used: " + why)),
        newWorkspace.get(),
        CudaDriver.kind().emulated() ? Optional.empty() : Optional.of(new CudaTimer(context)));
  }

  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    if (x.size(0) == 0) {
      return;
    }
    if (layer.weight() instanceof Weight.Stacked stacked) {
      long from = 0;
      for (Weight part : stacked.parts()) {
        long to = from + part.rows();
        long first = from;
        Linear one = new Linear(part, layer.bias().map(bias -> bias.rows(first, to)));
        single(out.columns(from, to), x, one, epilogue);
        from = to;
      }
    } else {
      single(out, x, layer, epilogue);
    }
  }

  /**
   * The norm, the product and, where there is one, the gate as one kernel, if own kernels take
   * them: to the bit what they give one after another.
   *
   * @param out, x as {@link LinearKernels#fused} takes them
   * @return false where nothing was done
   */
  boolean fused(Tensor out, Tensor x, RmsNorm norm, Linear layer, Optional<Activation> gate) {
    if (!LinearKernels.fuses(layer.weight(), x.size(0))
        || x.size(0) == 0
        || choose(x, layer) != Dispatcher.Choice.OWN) {
      return false;
    }
    own.fused(out, x, norm, layer, gate);
    return true;
  }

  private void single(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    switch (choose(x, layer)) {
      case OWN -> own.linear(out, x, layer, epilogue);
      case CUBLAS -> cublas.orElseThrow().linear(out, x, layer, epilogue);
    }
  }

  private Dispatcher.Choice choose(Tensor x, Linear layer) {
    Dispatcher.Product product =
        new Dispatcher.Product(layer.weight().format(), x.size(0), layer.outputs(), layer.inputs());
    if (timer.isPresent() && dispatcher.isOpen(product)) {
      Tensor trial = scratch.tensor(DType.F32, x.size(0), layer.outputs());
      dispatcher.measured(
          product,
          leastNanos(() -> own.linear(trial, x, layer, Epilogue.STORE)),
          leastNanos(() -> cublas.orElseThrow().linear(trial, x, layer, Epilogue.STORE)));
    }
    return dispatcher.choose(product).choice();
  }

  private double leastNanos(Runnable multiply) {
    multiply.run();
    double least = Double.MAX_VALUE;
    for (int i = 0; i < TIMED_RUNS; i++) {
      timer.orElseThrow().start();
      multiply.run();
      least = Math.min(least, timer.orElseThrow().stopNanos());
    }
    return least;
  }

  Dispatcher dispatcher() {
    return dispatcher;
  }

  @Override
  public void close() {
    timer.ifPresent(CudaTimer::close);
    cublas.ifPresent(CublasGemm::close);
  }
}
