package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.Checks;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceRecorder;
import dev.lathe.backend.DeviceTimer;
import dev.lathe.backend.DrawParameters;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.backend.RmsNorm;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Own kernels through JCuda, on device 0: an NVIDIA GPU, or the emulated one. Everything runs on
 * one stream, in the order in which it was asked for, behind the caller; what a kernel did wrong
 * comes with a later call. One platform thread at a time.
 */
public final class CudaBackend implements Backend {
  private static final Logger log = LoggerFactory.getLogger(CudaBackend.class);

  private final CudaContext context;
  private final DeviceInfo device;
  private final CudaPool pool;
  private final CudaTransfers transfers;
  private final CudaKernels kernels;
  private final CudaWeights weights;
  private final CudaGraphs graphs;
  private final CudaOptions options;
  private final RowKernels rows;
  private final CudaLinear linear;
  private final AttentionKernels attention;
  private final CudaSampling sampling;
  private final CudaWorkspace attentionWorkspace;

  /** What is allocated for as long as the backend is open. */
  private final CudaMemory lasting;

  private final Optional<Tensor> arrivals;
  private int openMemories;
  private boolean closed;

  private CudaBackend(CudaContext context, CudaProbe probe, CudaOptions options) {
    this.context = context;
    this.options = options;
    DeviceLimits limits = context.limits();
    device =
        new DeviceInfo(
            probe.deviceName(),
            probe.memoryBytes(),
            0,
            "sm_" + limits.computeCapability() + (probe.emulated() ? ", emulated" : ""));
    pool = CudaMemory.newPool(context);
    transfers = new CudaTransfers(context);
    kernels = new CudaKernels(context);
    weights = new CudaWeights(transfers);
    graphs = new CudaGraphs(context);
    rows = new RowKernels(kernels, limits);
    linear =
        CudaLinear.open(
            context,
            kernels,
            this::newWorkspace,
            () -> new CudaMemory(context, pool, _ -> {}),
            options.timing() && !probe.emulated());
    attention = new AttentionKernels(kernels, limits);
    sampling = new CudaSampling(kernels, transfers, newWorkspace(), newWorkspace());
    attentionWorkspace = newWorkspace();
    lasting = new CudaMemory(context, pool, _ -> {});
    arrivals =
        options.fusion()
            ? Optional.of(lasting.tensor(DType.I32, attention.arrivals()))
            : Optional.empty();
  }

  private CudaWorkspace newWorkspace() {
    return new CudaWorkspace(context, pool, graphs);
  }

  /** Why CUDA cannot run here; empty where it can, as far as is seen without running it. */
  public static Optional<String> whyUnusable() {
    return CudaUsability.why();
  }

  /**
   * On device 0.
   *
   * @throws dev.lathe.error.BackendUnusableException if there is none that can be used
   */
  public static CudaBackend open() {
    return open(CudaOptions.fromEnvironment());
  }

  static CudaBackend open(CudaOptions options) {
    CudaContext context = CudaContext.open();
    try {
      CudaUsability.require(context);
      return new CudaBackend(context, CudaDriver.probe(), options);
    } catch (RuntimeException | Error e) {
      context.close();
      throw e;
    }
  }

  @Override
  public String name() {
    return "cuda";
  }

  @Override
  public DeviceInfo device() {
    return device;
  }

  // Memory.

  @Override
  public DeviceMemory allocateMemory() {
    requireOpen();
    openMemories++;
    return new CudaMemory(context, pool, _ -> openMemories--);
  }

  /** Memories that were allocated and not closed: what a leak check looks at. */
  int openMemories() {
    return openMemories;
  }

  /** What is in use, and the most that ever was. */
  CudaPool pool() {
    return pool;
  }

  /** Which kernels multiply which shapes, and why. */
  Dispatcher dispatcher() {
    return linear.dispatcher();
  }

  CudaKernels kernels() {
    return kernels;
  }

  CudaGraphs graphs() {
    return graphs;
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    return weights.place(weight, memory);
  }

  @Override
  public Tensor placeF32(Tensor host, DeviceMemory memory) {
    Tensor placed = memory.tensor(DType.F32, host.shape());
    if (host.dtype() == DType.F32) {
      weights.upload(host, placed.address());
      return placed;
    }
    Tensor source = host.reshape(host.elements());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment widened = arena.allocate(Math.max(1, placed.bytes()), Float.BYTES);
      for (long i = 0; i < source.elements(); i++) {
        float value = Floats.get(source.memory(), source.dtype(), i);
        widened.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
      }
      transfers.upload(widened.asSlice(0, placed.bytes()), placed.address());
    }
    return placed;
  }

  @Override
  public void upload(MemorySegment host, Tensor device) {
    Checks.transfer(host.byteSize(), device);
    transfers.upload(host, device.address());
  }

  @Override
  public void download(Tensor device, MemorySegment host) {
    Checks.transfer(host.byteSize(), device);
    transfers.download(device.address(), host);
  }

  @Override
  public void synchronize() {
    context.synchronize();
  }

  @Override
  public boolean replays(long tokens) {
    return options.graphs();
  }

  @Override
  public void replayable(Object key, Runnable operations) {
    if (options.graphs()) {
      graphs.run(key, operations);
    } else {
      operations.run();
    }
  }

  @Override
  public Optional<DeviceTimer> newTimer() {
    return Optional.of(new CudaTimer(context));
  }

  @Override
  public Optional<DeviceRecorder> newRecorder() {
    return Optional.of(new CudaRecorder(context));
  }

  /**
   * What the device can do at best, measured now.
   *
   * @param bufferBytes read over and over: what fits the L2 cache is read from there
   */
  public Ceilings measureCeilings(long bufferBytes) {
    return new CudaCeilings(context, kernels, pool).measure(bufferBytes);
  }

  // Operations.

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    rows.embed(out, table, tokens);
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor indices) {
    rows.addEmbedding(out, table, indices);
  }

  @Override
  public void scale(Tensor x, float factor) {
    rows.scale(x, factor);
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    rows.rmsNorm(out, x, weight, epsilon);
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    rows.addRmsNorm(out, x, weight, epsilon);
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    rows.layerNorm(out, x, weight, bias, epsilon);
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    rows.normHeads(qkv, query, key, shape, epsilon);
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    linear.linear(out, x, layer, epilogue);
  }

  @Override
  public void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
    Checks.normLinear(out, x, norm, layer, normed);
    if (!options.fusion() || !linear.fused(out, x, norm, layer, Optional.empty())) {
      Backend.super.normLinear(out, x, norm, layer, normed);
    }
  }

  @Override
  public void normLinearGate(
      Tensor out,
      Tensor x,
      RmsNorm norm,
      Linear layer,
      Activation activation,
      Tensor normed,
      Tensor gateUp) {
    Checks.normLinearGate(out, x, norm, layer, normed, gateUp);
    if (!options.fusion() || !linear.fused(out, x, norm, layer, Optional.of(activation))) {
      Backend.super.normLinearGate(out, x, norm, layer, activation, normed, gateUp);
    }
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    attention.rotateAndAppend(qkv, rotations, shape, cache, batch);
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    attention.append(qkv, shape, cache, batch);
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.attention(out, qkv, shape, cache, batch);
    Tensor partials =
        attentionWorkspace.tensor(DType.U8, attention.workspaceBytes(shape, cache.keys().dtype()));
    attention.attention(
        out, qkv, shape, cache, batch, new AttentionKernels.Scratch(partials, arrivals));
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    rows.gate(out, gateUp, activation);
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    rows.activate(out, x, activation);
  }

  @Override
  public void softCap(Tensor x, float cap) {
    rows.softCap(x, cap);
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor indices) {
    rows.gatherRows(out, x, indices);
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    sampling.argmax(out, x);
  }

  @Override
  public int sampledColumns() {
    return SamplingKernels.MAX_VOCABULARY;
  }

  @Override
  public void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    sampling.sample(out, logits, draws, contexts);
  }

  @Override
  public List<DType> cacheTypes() {
    return List.of(DType.F32, DType.F16, DType.BF16, DType.I8);
  }

  /**
   * As the model is stored: half the bytes of F32, and tensor cores, where it has 16 bits. INT8
   * only for who asks for it, since it costs quality.
   */
  @Override
  public DType cacheType(DType model, boolean quantized) {
    return model.isFloating() && cacheTypes().contains(model) ? model : DType.F32;
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("the CUDA backend is closed");
    }
  }

  /** Frees all that was allocated, whoever has it. */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    if (openMemories > 0) {
      log.warn("the CUDA backend was closed while {} of its memories were open", openMemories);
    }
    try (context;
        kernels;
        pool;
        transfers;
        graphs;
        linear) {
      if (!context.isLost()) {
        context.synchronize();
      }
      log.debug("most device memory in use at once: {} bytes", pool.highWaterBytes());
    }
  }
}
