package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.OutOfDeviceMemoryException;
import dev.lathe.backend.RmsNorm;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;
import java.util.function.LongUnaryOperator;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Linear layers: a stack part by part, each by the kernels that the {@link Dispatcher} chooses. On
 * a real GPU both candidates are timed when a shape is first met, if they compute in the same
 * precision.
 */
final class CudaLinear implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(CudaLinear.class);

  private final LinearKernels own;
  private final W8A8Linear w8a8;
  private final Optional<CublasGemm> cublas;
  private final Dispatcher dispatcher;
  private final CudaWorkspace scratch;
  private final Optional<ProductTrial> trial;

  /**
   * @param scratch for outputs of runs that are only timed
   * @param trial empty where nothing is measured
   */
  private CudaLinear(
      LinearKernels own,
      W8A8Linear w8a8,
      Optional<CublasGemm> cublas,
      Dispatcher dispatcher,
      CudaWorkspace scratch,
      Optional<ProductTrial> trial) {
    this.own = own;
    this.w8a8 = w8a8;
    this.cublas = cublas;
    this.dispatcher = dispatcher;
    this.scratch = scratch;
    this.trial = trial;
  }

  /**
   * With cuBLAS where it can be used.
   *
   * @param timed whether both are timed: not where the device's time means nothing
   */
  static CudaLinear open(
      CudaContext context,
      CudaKernels kernels,
      Supplier<CudaWorkspace> newWorkspace,
      Supplier<DeviceMemory> newMemory,
      boolean timed) {
    Optional<String> whyNoCublas = CublasLibrary.whyUnusable();
    log.debug("products: {}", whyNoCublas.orElseGet(CublasLibrary::description));
    CudaWorkspace partial = newWorkspace.get();
    LongUnaryOperator partialSums = bytes -> partial.tensor(DType.U8, bytes).address();
    return new CudaLinear(
        new LinearKernels(kernels, context.limits(), partialSums),
        new W8A8Linear(
            kernels, context.limits(), partialSums, newWorkspace.get(), newWorkspace.get()),
        whyNoCublas.isPresent()
            ? Optional.empty()
            : Optional.of(new CublasGemm(context, kernels, newWorkspace.get(), newWorkspace.get())),
        new Dispatcher(whyNoCublas.map(why -> "cuBLAS can't be used: " + why)),
        newWorkspace.get(),
        timed
            ? Optional.of(
                new ProductTrial(
                    new CudaTimer(context), () -> new CudaCacheFlush(context, newMemory.get())))
            : Optional.empty());
  }

  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    if (x.size(0) == 0) {
      return;
    }
    if (layer.weight() instanceof Weight.Stacked) {
      layer.forEachPart((part, from, to) -> single(out.columns(from, to), x, part, epilogue));
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
        || choose(x, layer).choice() != Dispatcher.Choice.OWN) {
      return false;
    }
    own.fused(out, x, norm, layer, gate);
    return true;
  }

  private void single(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Dispatcher.Decision decision = choose(x, layer);
    switch (decision.choice()) {
      case OWN -> own(decision.precision(), out, x, layer, epilogue);
      case CUBLAS -> cublas(decision.precision(), out, x, layer, epilogue);
    }
  }

  private void own(
      Dispatcher.Precision precision, Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    switch (precision) {
      case INT8 -> w8a8.linear(out, x, layer, epilogue);
      case F32, TWO_PARTS, ROUNDED -> own.linear(out, x, layer, epilogue);
    }
  }

  private void cublas(
      Dispatcher.Precision precision, Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    switch (precision) {
      case TWO_PARTS -> cublas.orElseThrow().linearInTwoParts(out, x, layer, epilogue);
      case F32, ROUNDED -> cublas.orElseThrow().linear(out, x, layer, epilogue);
      case INT8 -> throw new IllegalStateException("cuBLAS was chosen for W8A8");
    }
  }

  private Dispatcher.Decision choose(Tensor x, Linear layer) {
    Dispatcher.Product product =
        new Dispatcher.Product(layer.weight().format(), x.size(0), layer.outputs(), layer.inputs());
    if (trial.isPresent() && dispatcher.isOpen(product)) {
      measure(product, x, layer);
    }
    return dispatcher.choose(product);
  }

  private void measure(Dispatcher.Product product, Tensor x, Linear layer) {
    try {
      Tensor out = scratch.tensor(DType.F32, x.size(0), layer.outputs());
      ProductTrial.Times times =
          trial
              .orElseThrow()
              .time(
                  () -> own.linear(out, x, layer, Epilogue.STORE),
                  () -> cublas(product.precision(), out, x, layer, Epilogue.STORE));
      dispatcher.measured(product, times.ownNanos(), times.cublasNanos());
    } catch (OutOfDeviceMemoryException e) {
      dispatcher.unmeasured(product, "not measured: " + e.getMessage());
    }
  }

  Dispatcher dispatcher() {
    return dispatcher;
  }

  @Override
  public void close() {
    trial.ifPresent(ProductTrial::close);
    cublas.ifPresent(CublasGemm::close);
  }
}
