package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Ceilings;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** That the kernels of ceilings.cu do the work whose time is taken. */
@Tag("cuda")
class CudaCeilingsTest {
  private static final int THREADS = 512;

  private CudaContext context;
  private CudaKernels kernels;
  private CudaPool pool;
  private CudaTransfers transfers;

  @BeforeEach
  void open() {
    context = CudaContext.open();
    kernels = new CudaKernels(context);
    pool = CudaMemory.newPool(context);
    transfers = new CudaTransfers(context);
  }

  @AfterEach
  void close() {
    transfers.close();
    pool.close();
    kernels.close();
    context.close();
  }

  /** Every value is -1, so the threads' sums add up to how many were read. */
  @ParameterizedTest
  @CsvSource({"1, 1, 1", "4099, 1, 1", "10000, 3, 2", "9000, 2, 5"})
  void everyPackIsReadOnceARound(int packs, int rounds, int blocks) {
    try (CudaMemory memory = new CudaMemory(context, pool, _ -> {});
        Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(16L * packs, 4);
      for (int i = 0; i < 4 * packs; i++) {
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, -1);
      }
      Tensor buffer = memory.tensor(DType.F32, 4L * packs);
      transfers.upload(values, buffer.address());
      Tensor sink = memory.tensor(DType.F32, (long) blocks * THREADS);
      new CudaCeilings(context, kernels, pool).read(sink, buffer, packs, rounds, blocks);
      assertThat(sum(sink, arena)).isEqualTo(-4.0 * packs * rounds);
    }
  }

  @Test
  void everyChainComputes() {
    try (CudaMemory memory = new CudaMemory(context, pool, _ -> {});
        Arena arena = Arena.ofConfined()) {
      Tensor sink = memory.tensor(DType.F32, THREADS);
      // x -> x - 1, ten times: of chain j and thread t, j + t - 10; the sums below 0 are kept.
      new CudaCeilings(context, kernels, pool).multiplyAdd(sink, 1, -1, 10, 1);
      double expected = 0;
      for (int t = 0; t < THREADS; t++) {
        double chains = 16 * (t - 10) + 120;
        expected += Math.min(0, chains);
      }
      assertThat(sum(sink, arena)).isEqualTo(expected);
    }
  }

  /**
   * Row tile i holds -2 (i + 1), column tile j 3 (j + 1), so a step adds -6 * depth * (i + 1) (j +
   * 1) to each element: a tile that is not multiplied would be missing in the sum, exactly.
   */
  @ParameterizedTest
  @CsvSource({"16, false", "32, true"})
  void everyTileIsMultiplied(int depth, boolean int8) {
    int steps = 3;
    int blocks = 2;
    int threads = 256;
    try (CudaMemory memory = new CudaMemory(context, pool, _ -> {});
        Arena arena = Arena.ofConfined()) {
      Tensor sink = memory.tensor(DType.F32, (long) blocks * threads);
      CudaCeilings ceilings = new CudaCeilings(context, kernels, pool);
      if (int8) {
        ceilings.mmaInt8(sink, -2, 3, steps, blocks);
      } else {
        ceilings.mmaBf16(sink, -2, 3, steps, blocks);
      }
      double tiles = (1 + 2 + 3 + 4) * (1 + 2);
      double elementsAThread = 4; // of the 128 of a tile
      assertThat(sum(sink, arena))
          .isEqualTo(-6.0 * depth * steps * tiles * elementsAThread * threads * blocks);
    }
  }

  @Test
  void ceilingsAreMeasured() {
    Ceilings ceilings = new CudaCeilings(context, kernels, pool).measure(1 << 16);
    assertThat(ceilings.readBandwidthGbs()).isPositive();
    assertThat(ceilings.peakGflops()).isPositive();
    assertThat(ceilings.tensorCores().orElseThrow().bf16Gflops()).isPositive();
    assertThat(ceilings.tensorCores().orElseThrow().int8Gops()).isPositive();
    assertThat(ceilings.source()).contains("GPU");
    assertThat(pool.pieceCount()).isZero();
  }

  private double sum(Tensor tensor, Arena arena) {
    MemorySegment host = arena.allocate(tensor.bytes(), 4);
    transfers.download(tensor.address(), host);
    double sum = 0;
    for (float value : host.toArray(ValueLayout.JAVA_FLOAT)) {
      sum += value;
    }
    return sum;
  }
}
