package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Checks;
import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.Optional;

/**
 * RoPE, writing to the cache and attention over it: rope.cu and paged_attention_*.cu. Geometry
 * depends on shapes only ({@link AttentionPlan}), so that a captured step can be replayed.
 */
final class AttentionKernels {
  private static final int ROPE_THREADS = 128;
  private static final int COMBINE_THREADS = 128;
  private static final int WARP = 32;

  private final CudaKernels kernels;
  private final DeviceLimits limits;

  /**
   * Memory that attention needs while it runs, on the device.
   *
   * @param partials {@link #workspaceBytes} of any type; what is in it before and after means
   *     nothing
   * @param arrived {@link #arrivals} of I32, all 0 before and after: parts of divided keys are put
   *     together by the last block that comes; empty: by another kernel
   */
  record Scratch(Tensor partials, Optional<Tensor> arrived) {}

  AttentionKernels(CudaKernels kernels, DeviceLimits limits) {
    this.kernels = kernels;
    this.limits = limits;
  }

  /** {@link dev.lathe.backend.Backend#rotateAndAppend}; keys stay as they are in {@code qkv}. */
  void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.rotateAndAppend(qkv, rotations, shape, cache, batch);
    rotateAppend(qkv, rotations.address(), shape, cache, batch);
  }

  /** {@link dev.lathe.backend.Backend#append}. */
  void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.append(qkv, shape, cache, batch);
    rotateAppend(qkv, 0, shape, cache, batch);
  }

  private void rotateAppend(
      Tensor qkv, long rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    if (batch.tokenCount() == 0) {
      return;
    }
    long threads = rotateAppendThreads(shape, cache.type(), rotations != 0);
    kernels
        .get("rope", "rotate_append" + AttentionGeometry.suffix(cache.type()))
        .pointer(qkv)
        .pointer(cache.keys())
        .pointer(cache.values())
        .pointer(rotations)
        .pointer(batch.positions())
        .pointer(batch.slots())
        .i32(shape.heads())
        .i32(shape.kvHeads())
        .i32(shape.headDim())
        .i32(cache.pageSize())
        .launch(
            batch.tokenCount(),
            (int) Math.min(DeviceLimits.MAX_GRID_YZ, Math.ceilDiv(threads, ROPE_THREADS)),
            1,
            ROPE_THREADS,
            0);
  }

  /** How many threads have work, of one token. */
  private static long rotateAppendThreads(AttentionShape shape, DType type, boolean turned) {
    if (type == DType.I8) {
      return (long) WARP * (shape.heads() + 2 * shape.kvHeads());
    }
    // Pairs of the heads that are turned, single values of the others; four at a time.
    long work =
        (turned ? (long) (shape.heads() + shape.kvHeads()) * shape.headDim() / 2 : 0)
            + (turned ? 1L : 2L) * shape.kvHeads() * shape.headDim();
    return shape.headDim() % (turned ? 8 : 4) == 0 ? Math.ceilDiv(work, 4) : work;
  }

  /**
   * Bytes that {@link #attention} may need for partial results, whatever the batch: to be allocated
   * before a step is captured.
   *
   * @param type of keys and values
   */
  long workspaceBytes(AttentionShape shape, DType type) {
    return AttentionPlan.mostPartialFloats(limits, shape, type) * Float.BYTES;
  }

  /** Elements of {@link Scratch#arrived}, whatever the batch. */
  int arrivals() {
    return AttentionPlan.mostDivided(limits);
  }

  /** {@link dev.lathe.backend.Backend#attention}. */
  void attention(
      Tensor out,
      Tensor qkv,
      AttentionShape shape,
      KvLayer cache,
      BatchTensors batch,
      Scratch scratch) {
    Checks.attention(out, qkv, shape, cache, batch);
    if (batch.tokenCount() == 0) {
      return;
    }
    AttentionPlan.Sizes sizes =
        new AttentionPlan.Sizes(
            batch.tokenCount(), batch.sequenceCount(), batch.blocks().size(0), cache.pageSize());
    DType type = cache.keys().dtype();
    long addresses =
        out.address() | qkv.address() | cache.keys().address() | cache.values().address();
    AttentionPlan plan =
        addresses % 16 == 0
            ? AttentionPlan.of(limits, shape, type, sizes)
            : AttentionPlan.general(limits, shape, type, sizes);
    run(plan, out, qkv, shape, cache, batch, scratch);
  }

  /** Attention as planned. */
  void run(
      AttentionPlan plan,
      Tensor out,
      Tensor qkv,
      AttentionShape shape,
      KvLayer cache,
      BatchTensors batch,
      Scratch scratch) {
    Tensor partials = scratch.partials();
    if (partials.bytes() < plan.partialFloats(shape) * Float.BYTES) {
      throw new IllegalArgumentException(
          "attention: a workspace of %d bytes, %d are needed"
              .formatted(partials.bytes(), plan.partialFloats(shape) * Float.BYTES));
    }
    for (AttentionPlan.Launch launch : plan.launches()) {
      boolean divided = launch.splits() > 1;
      long sums = divided ? partials.address() : 0;
      long stats = divided ? sums + launch.partialRows(shape) * shape.headDim() * Float.BYTES : 0;
      Optional<Tensor> arrived = divided ? scratch.arrived() : Optional.empty();
      arrived.ifPresent(counters -> checkArrivals(counters, launch, shape));
      CudaKernel kernel = kernels.get(launch.module(), launch.kernel());
      kernel.pointer(out).pointer(qkv).pointer(cache.keys()).pointer(cache.values());
      sizes(kernel, launch, shape, cache, batch);
      if (launch.isDivisible()) {
        kernel
            .pointer(sums)
            .pointer(stats)
            .pointer(arrived.map(Tensor::address).orElse(0L))
            .i32(launch.splits())
            .i32(launch.keysPerSplit())
            .i32(launch.step());
      }
      kernel.launch(
          launch.tiles(),
          shape.kvHeads(),
          launch.splits(),
          AttentionPlan.THREADS,
          launch.sharedBytes());
      if (divided && arrived.isEmpty()) {
        CudaKernel combine = kernels.get("paged_attention_combine", "paged_attention_combine");
        sizes(combine.pointer(out), launch, shape, cache, batch)
            .pointer(sums)
            .pointer(stats)
            .i32(launch.splits())
            .i32(launch.keysPerSplit())
            .i32(launch.rowsPerTile())
            .launch(launch.tiles(), shape.kvHeads(), launch.rowsPerTile(), COMBINE_THREADS, 0);
      }
    }
  }

  private static void checkArrivals(
      Tensor counters, AttentionPlan.Launch launch, AttentionShape shape) {
    long needed = launch.tiles() * shape.kvHeads();
    if (counters.elements() < needed) {
      throw new IllegalArgumentException(
          "attention: %d counters of blocks, %d are needed".formatted(counters.elements(), needed));
    }
  }

  private static CudaKernel sizes(
      CudaKernel kernel,
      AttentionPlan.Launch launch,
      AttentionShape shape,
      KvLayer cache,
      BatchTensors batch) {
    return kernel
        .pointer(batch.queryStarts())
        .pointer(batch.contextLengths())
        .pointer(batch.blockStarts())
        .pointer(batch.blocks())
        .i32(batch.sequenceCount())
        .i32(shape.heads())
        .i32(shape.kvHeads())
        .i32(shape.headDim())
        .i32(cache.pageSize())
        .i32(shape.window())
        .f32(shape.scale())
        .f32(shape.softCap())
        .i32(launch.leastNew())
        .i32(launch.mostNew());
  }
}
