package dev.lathe.backend.cuda;

import dev.lathe.backend.Ceilings;
import dev.lathe.backend.Ceilings.TensorCores;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.Arrays;
import java.util.stream.IntStream;

/** Measures the ceilings of the device with {@code ceilings.cu}, by the device's clock. */
final class CudaCeilings {
  private static final int THREADS = 512;
  private static final int PACK_BYTES = 16;
  private static final int CHAINS = 16;

  /** Multiply-adds count as two. */
  private static final int FLOPS_A_STEP = 2 * CHAINS;

  private static final int MMA_THREADS = 256;
  private static final int WARP = 32;

  /**
   * Tiles that a warp multiplies in a step, each [16, 16] x [16, 8] in BF16, twice that in INT8.
   */
  private static final int TILES = 8;

  private static final int BF16_FLOPS_A_TILE = 2 * 16 * 8 * 16;
  private static final int INT8_OPS_A_TILE = 2 * 16 * 8 * 32;

  private static final int REPETITIONS = 9;

  private final CudaContext context;
  private final CudaKernels kernels;
  private final CudaPool pool;

  CudaCeilings(CudaContext context, CudaKernels kernels, CudaPool pool) {
    this.context = context;
    this.kernels = kernels;
    this.pool = pool;
  }

  /**
   * The best that reading so many bytes over and over, F32 multiply-adds and {@code mma.sync} in
   * registers reach: medians of {@value #REPETITIONS} after one to warm up.
   */
  Ceilings measure(long bufferBytes) {
    // An emulated GPU gets as little as shows that it works: its figures are no speed of anything.
    boolean emulated = CudaDriver.kind().emulated();
    long packs = Math.max(1, Math.min(bufferBytes, emulated ? 1 << 18 : 1L << 30) / PACK_BYTES);
    long readAtLeast = emulated ? 1 << 18 : 4L << 30;
    int rounds = (int) Math.max(1, readAtLeast / (packs * PACK_BYTES));
    int steps = emulated ? 16 : 1 << 14;
    long blocks = context.limits().multiprocessors() * (emulated ? 1L : 4L);
    try (CudaMemory memory = new CudaMemory(context, pool, _ -> {});
        CudaTimer timer = new CudaTimer(context)) {
      Tensor buffer = memory.tensor(DType.F32, packs * PACK_BYTES / 4);
      Tensor sink = memory.tensor(DType.F32, blocks * THREADS);
      double readNanos = medianNanos(timer, () -> read(sink, buffer, packs, rounds, blocks));
      double flopNanos = medianNanos(timer, () -> multiplyAdd(sink, 0.5f, 1, steps, blocks));
      long mmaBlocks = emulated ? 2 : blocks;
      int mmaSteps = emulated ? 2 : steps;
      double bf16Nanos = medianNanos(timer, () -> mmaBf16(sink, 1, 1, mmaSteps, mmaBlocks));
      double int8Nanos = medianNanos(timer, () -> mmaInt8(sink, 1, 1, mmaSteps, mmaBlocks));
      double tiles = (double) TILES * mmaSteps * mmaBlocks * (MMA_THREADS / WARP);
      double bytes = (double) packs * PACK_BYTES * rounds;
      double flops = (double) FLOPS_A_STEP * steps * blocks * THREADS;
      return new Ceilings(
          bytes / readNanos,
          flops / flopNanos,
          new TensorCores(
              tiles * BF16_FLOPS_A_TILE / bf16Nanos, tiles * INT8_OPS_A_TILE / int8Nanos),
          "measured on the %s: reading %.1f MB over and over; F32 multiply-adds and mma.sync in registers"
              .formatted(
                  emulated ? "emulated GPU, which has no speed" : "GPU", packs * PACK_BYTES / 1e6));
    }
  }

  void read(Tensor sink, Tensor buffer, long packs, int rounds, long blocks) {
    kernels
        .get("ceilings", "read_buffer")
        .pointer(sink)
        .pointer(buffer)
        .i64(packs)
        .i32(rounds)
        .launch(blocks, 1, 1, THREADS, 0);
  }

  void multiplyAdd(Tensor sink, float factor, float addend, int steps, long blocks) {
    kernels
        .get("ceilings", "multiply_add")
        .pointer(sink)
        .f32(factor)
        .f32(addend)
        .i32(steps)
        .launch(blocks, 1, 1, THREADS, 0);
  }

  /** Row tile i holds (i + 1) a, column tile j (j + 1) b; 4 and 2 of them. */
  void mmaBf16(Tensor sink, int a, int b, int steps, long blocks) {
    mma("mma_bf16", sink, a, b, steps, blocks);
  }

  /** The same in INT8. */
  void mmaInt8(Tensor sink, int a, int b, int steps, long blocks) {
    mma("mma_s8", sink, a, b, steps, blocks);
  }

  private void mma(String kernel, Tensor sink, int a, int b, int steps, long blocks) {
    kernels
        .get("ceilings", kernel)
        .pointer(sink)
        .i32(a)
        .i32(b)
        .i32(steps)
        .launch(blocks, 1, 1, MMA_THREADS, 0);
  }

  private static double medianNanos(CudaTimer timer, Runnable launch) {
    long[] nanos =
        IntStream.rangeClosed(0, REPETITIONS)
            .mapToLong(_ -> {
              timer.start();
              launch.run();
              return timer.stopNanos();
            })
            .skip(1)
            .toArray();
    Arrays.sort(nanos);
    return Math.max(1, nanos[nanos.length / 2]);
  }
}
