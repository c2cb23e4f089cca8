package dev.lathe.backend.cpu;

import static dev.lathe.backend.cpu.CpuLibrary.Symbols;
import static dev.lathe.backend.cpu.CpuLibrary.unexpected;

import dev.lathe.backend.Activation;
import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Checks;
import dev.lathe.backend.Checks.Rows;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.HostInfo;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.ValueLayout;
import java.lang.ref.Reference;
import java.util.List;
import java.util.Optional;

/**
 * Own kernels for every format. Floats and bitmaps are multiplied on the host's memory as they lie,
 * mapped or not, in F32; INT8 matrices are copied and multiplied in integers, by activations in 16
 * bits ({@code int8_impl.h}). A row of {@link #linear} gets the same bits whatever the number of
 * tokens or threads. Attention too, except that long prompts may be summed in another order than
 * single tokens.
 *
 * <p>Kernels get bare addresses. An operation over a few rows may return before its work is done
 * ({@code chain.h}): memory is waited for before it is written by {@link #upload}, read by {@link
 * #download} or closed.
 */
public final class CpuBackend extends HostBackend {
  /** Multiply-adds of a call that is over in some 20 microseconds on one thread. */
  private static final long BRIEF_WORK = 300_000;

  /** Rows that are chained at most, {@code Chain::kRows}. */
  private static final long SHARED_ROWS = 64;

  /** Floats between two rows: 2 KiB. */
  private static final long APART = 512;

  private static final boolean REPLAYS = !"0".equals(System.getenv("LATHE_CPU_REPLAY"));

  private final long context;
  private final int threads;
  private final InstructionSet instructionSet;
  private final PlacedWeights placed = new PlacedWeights();
  private final CpuReplays replays;
  private boolean closed;

  private CpuBackend(int threads, InstructionSet wanted) {
    try {
      context = (long) Symbols.OPEN.invokeExact(threads, wanted == null ? 0 : wanted.bit);
      if (context == 0) {
        throw new BackendUnusableException(
            "the CPU kernels could not be opened with %d threads for %s; this processor runs %s"
                .formatted(
                    threads,
                    wanted == null ? "LATHE_CPU_ISA=" + System.getenv("LATHE_CPU_ISA") : wanted,
                    CpuLibrary.instructionSets()));
      }
      instructionSet = InstructionSet.ofBit((int) Symbols.ISA.invokeExact(context));
    } catch (Throwable e) {
      throw unexpected(e);
    }
    this.threads = threads;
    this.replays = new CpuReplays(context);
  }

  /** Why the native kernels cannot run here; empty where they can. */
  public static Optional<String> whyUnusable() {
    return CpuLibrary.whyUnusable();
  }

  /** With the best instruction set, or the one that {@code LATHE_CPU_ISA} names. */
  public static CpuBackend open(int threads) {
    return open(threads, null);
  }

  /**
   * @param threads at least 1, the caller's included
   * @param instructionSet null for the best
   * @throws BackendUnusableException if the library or the instruction set is not to be had
   */
  static CpuBackend open(int threads, InstructionSet instructionSet) {
    if (threads < 1) {
      throw new IllegalArgumentException(threads + " threads");
    }
    whyUnusable()
        .ifPresent(reason -> {
          throw new BackendUnusableException("the native CPU kernels cannot run: " + reason);
        });
    return new CpuBackend(threads, instructionSet);
  }

  public InstructionSet instructionSet() {
    return instructionSet;
  }

  @Override
  public DeviceInfo device() {
    return new DeviceInfo(
        CpuInfo.processorName(), HostInfo.memoryBytes(), threads, "native " + instructionSet);
  }

  /** The native context, for what else is measured with these threads and kernels. */
  long context() {
    if (closed) {
      throw new IllegalStateException("the CPU backend is closed");
    }
    return context;
  }

  @Override
  CpuMemory newMemory() {
    context();
    return new CpuMemory(memory -> {
      if (!closed) {
        synchronize();
      }
      placed.forget(memory);
      memoryClosed();
    });
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    placed.place(weight, true, (CpuMemory) memory);
    return weight;
  }

  @Override
  public Weight placeTable(Weight table, DeviceMemory memory) {
    placed.place(table, false, (CpuMemory) memory);
    return table;
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    Checks.embed(Rows.APART, out, table, tokens);
    long weight = placed.of(table).address();
    long count = tokens.size(0);
    int status;
    try {
      status =
          CpuCalls.embed(
              out.elements() < BRIEF_WORK,
              context(),
              out.address(),
              out.rowStride(),
              weight,
              tokens.address(),
              count);
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(table);
      Reference.reachabilityFence(tokens);
    }
    if (status != 0) {
      Checks.below("embed: tokens", tokens, table.rows());
      throw failed("embed", status);
    }
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.rmsNorm(Rows.APART, out, x, weight);
    long rows = x.size(0);
    long cols = x.size(1);
    int status;
    try {
      status =
          CpuCalls.rmsNorm(
              rows * cols < BRIEF_WORK,
              context(),
              out.address(),
              out.rowStride(),
              x.address(),
              x.rowStride(),
              weight.address(),
              rows,
              cols,
              epsilon);
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(x);
      Reference.reachabilityFence(weight);
    }
    check("rmsNorm", status);
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    PlacedWeights.Placed weight = placed.of(layer.weight());
    if (weight.divided()) {
      layer.forEachPart((part, from, to) -> linear(out.columns(from, to), x, part, epilogue));
      return;
    }
    long tokens = x.size(0);
    long bias = layer.bias().isPresent() ? layer.bias().get().address() : 0;
    int add = epilogue == Epilogue.ADD ? 1 : 0;
    int status;
    try {
      status =
          CpuCalls.linear(
              tokens * weight.elements() < BRIEF_WORK,
              context(),
              out.address(),
              out.rowStride(),
              x.address(),
              x.rowStride(),
              tokens,
              weight.address(),
              bias,
              add);
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(x);
      Reference.reachabilityFence(layer);
    }
    check("linear", status);
  }

  /** INT8 matrices that were copied are multiplied in integers, a stack's all in the same. */
  @Override
  public Arithmetic arithmetic(Weight weight) {
    PlacedWeights.Placed found = placed.of(weight);
    if (found.copiedBytes() == 0 && !found.divided()) {
      return Arithmetic.F32;
    }
    boolean int8 =
        weight instanceof Weight.Stacked stacked
            ? stacked.parts().stream().anyMatch(TokenQuantization::isFor)
            : TokenQuantization.isFor(weight);
    return int8 && instructionSet.multipliesBytes() ? Arithmetic.INT8 : Arithmetic.INT16;
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.rotateAndAppend(Rows.APART, qkv, rotations, shape, cache, batch);
    long tokens = batch.tokenCount();
    int status;
    try {
      status =
          CpuCalls.rotateAndAppend(
              qkv.elements() < BRIEF_WORK,
              context(),
              qkv.address(),
              qkv.rowStride(),
              tokens,
              rotations.address(),
              rotations.size(0),
              rotations.rowStride(),
              shape.heads(),
              shape.kvHeads(),
              shape.headDim(),
              cache.keys().address(),
              cache.values().address(),
              kvType(cache),
              cache.pages(),
              cache.pageSize(),
              batch.positions().address(),
              batch.slots().address());
    } finally {
      Reference.reachabilityFence(qkv);
      Reference.reachabilityFence(rotations);
      Reference.reachabilityFence(cache);
      Reference.reachabilityFence(batch);
    }
    if (status != 0) {
      Checks.below("rotateAndAppend: positions", batch.positions(), rotations.size(0));
      Checks.below("rotateAndAppend: slots", batch.slots(), cache.pages() * cache.pageSize());
      throw failed("rotateAndAppend", status);
    }
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.attention(Rows.APART, out, qkv, shape, cache, batch);
    long tokens = batch.tokenCount();
    long sequences = batch.sequenceCount();
    int status;
    try {
      status =
          CpuCalls.attention(
              isBrief(shape, batch),
              context(),
              out.address(),
              out.rowStride(),
              qkv.address(),
              qkv.rowStride(),
              tokens,
              shape.heads(),
              shape.kvHeads(),
              shape.headDim(),
              shape.scale(),
              shape.window(),
              shape.softCap(),
              cache.keys().address(),
              cache.values().address(),
              kvType(cache),
              cache.pages(),
              cache.pageSize(),
              sequences,
              batch.queryStarts().address(),
              batch.contextLengths().address(),
              batch.blockStarts().address(),
              batch.blocks().address(),
              batch.blocks().size(0));
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(qkv);
      Reference.reachabilityFence(cache);
      Reference.reachabilityFence(batch);
    }
    if (status != 0) {
      Checks.below("attention: blocks", batch.blocks(), cache.pages());
      throw failed("attention", status);
    }
  }

  /** Single tokens over short contexts. */
  private static boolean isBrief(AttentionShape shape, BatchTensors batch) {
    long sequences = batch.sequenceCount();
    if (batch.tokenCount() != sequences || sequences > 16) {
      return false;
    }
    long keys = 0;
    for (long s = 0; s < sequences; s++) {
      keys += batch.contextLengths().memory().get(ValueLayout.JAVA_INT_UNALIGNED, s * 4);
    }
    return keys * shape.heads() * (shape.headDim() + 16) < BRIEF_WORK / 2;
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    Checks.gate(Rows.APART, out, gateUp);
    long rows = out.size(0);
    long cols = out.size(1);
    int status;
    try {
      status =
          CpuCalls.gate(
              rows * cols * 20 < BRIEF_WORK,
              context(),
              out.address(),
              out.rowStride(),
              gateUp.address(),
              gateUp.rowStride(),
              rows,
              cols,
              function(activation));
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(gateUp);
    }
    check("gate", status);
  }

  private static int function(Activation activation) {
    return switch (activation) {
      case SILU -> 0;
      case GELU_TANH -> 1;
      case GELU -> 2;
    };
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    Checks.addEmbedding(Rows.APART, out, table, rows);
    int status;
    try {
      status = CpuVariants.addEmbedding(context(), out, placed.of(table).address(), rows);
    } finally {
      Reference.reachabilityFence(table);
    }
    if (status != 0) {
      Checks.below("addEmbedding: rows", rows, table.rows());
      throw failed("addEmbedding", status);
    }
  }

  @Override
  public void scale(Tensor x, float factor) {
    Checks.scale(Rows.APART, x);
    check("scale", CpuVariants.scale(context(), x, factor));
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.addRmsNorm(Rows.APART, out, x, weight);
    check("addRmsNorm", CpuVariants.addRmsNorm(context(), out, x, weight, epsilon));
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    Checks.layerNorm(Rows.APART, out, x, weight, bias);
    check("layerNorm", CpuVariants.layerNorm(context(), out, x, weight, bias, epsilon));
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    Checks.normHeads(Rows.APART, qkv, query, key, shape);
    check("normHeads", CpuVariants.normHeads(context(), qkv, query, key, shape, epsilon));
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.append(Rows.APART, qkv, shape, cache, batch);
    int status = CpuVariants.append(context(), qkv, shape, cache, batch.slots());
    if (status != 0) {
      Checks.below("append: slots", batch.slots(), cache.pages() * cache.pageSize());
      throw failed("append", status);
    }
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    Checks.activate(Rows.APART, out, x);
    check("activate", CpuVariants.activate(context(), out, x, function(activation)));
  }

  @Override
  public void softCap(Tensor x, float cap) {
    Checks.softCap(Rows.APART, x, cap);
    check("softCap", CpuVariants.softCap(context(), x, cap));
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    Checks.gatherRows(Rows.APART, out, x, rows);
    long count = rows.size(0);
    long cols = x.size(1);
    int status;
    try {
      status =
          CpuCalls.gatherRows(
              count * cols < BRIEF_WORK,
              context(),
              out.address(),
              out.rowStride(),
              x.address(),
              x.rowStride(),
              x.size(0),
              cols,
              rows.address(),
              count);
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(x);
      Reference.reachabilityFence(rows);
    }
    if (status != 0) {
      Checks.below("gatherRows: rows", rows, x.size(0));
      throw failed("gatherRows", status);
    }
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    Checks.argmax(Rows.APART, out, x);
    long rows = x.size(0);
    long cols = x.size(1);
    int status;
    try {
      status =
          CpuCalls.argmax(
              rows * cols < BRIEF_WORK,
              context(),
              out.address(),
              x.address(),
              x.rowStride(),
              rows,
              cols);
    } finally {
      Reference.reachabilityFence(out);
      Reference.reachabilityFence(x);
    }
    check("argmax", status);
  }

  @Override
  public List<DType> cacheTypes() {
    return List.of(DType.F32, DType.F16, DType.BF16, DType.I8);
  }

  /** As the model is stored; beside quantized matrices, which lose more, at most 16 bits. */
  @Override
  public DType cacheType(DType model, boolean quantized) {
    DType wanted = quantized && model == DType.F32 ? DType.BF16 : model;
    return wanted.isFloating() && cacheTypes().contains(wanted) ? wanted : DType.F32;
  }

  /** {@code lathe_kv} */
  static int kvType(KvLayer cache) {
    return switch (cache.keys().dtype()) {
      case F32 -> 0;
      case F16 -> 1;
      case BF16 -> 2;
      case I8 -> 3;
      default -> throw new IllegalArgumentException("no cache in " + cache.keys().dtype());
    };
  }

  /**
   * Rows of few tokens are shared out among threads one behind the other, and the processor fetches
   * ahead beyond what a thread reads: where another's rows begin at once, it takes their lines from
   * the other's cache. Half a page between rows is further than it looks.
   */
  @Override
  public long rowStride(long tokens, long cols) {
    return tokens > 1 && tokens <= SHARED_ROWS ? cols + APART : cols;
  }

  /** Of so many that they are chained, by threads that share them out. */
  @Override
  public boolean replays(long tokens) {
    return REPLAYS && threads > 1 && tokens > 1 && tokens <= SHARED_ROWS;
  }

  /**
   * Without recordings where {@code LATHE_CPU_REPLAY} is 0, so that an operation can be looked at
   * by itself.
   */
  @Override
  public void replayable(Object key, Runnable operations) {
    context();
    if (REPLAYS) {
      replays.run(key, operations);
    } else {
      operations.run();
    }
  }

  /** Steps that were replayed so far. */
  long replays() {
    return replays.replays();
  }

  @Override
  public void synchronize() {
    try {
      int status = (int) Symbols.FINISH.invokeExact(context());
      check("synchronize", status);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    reportLeaks();
    closed = true;
    replays.close();
    placed.close();
    try {
      Symbols.CLOSE.invokeExact(context);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void check(String operation, int status) {
    if (status != 0) {
      throw failed(operation, status);
    }
  }

  /** The statuses of {@code lathe_cpu.h}. */
  private static RuntimeException failed(String operation, int status) {
    return switch (status) {
      case 1 ->
          new LatheException(
              LatheException.FAILED, operation + ": out of memory for the CPU kernels' scratch");
      case 6 ->
          new IllegalArgumentException(
              operation
                  + ": the batch's starts do not ascend, a context is shorter than its new tokens,"
                  + " or a block table is shorter than its context");
      default -> new IllegalStateException(operation + " failed with status " + status);
    };
  }
}
