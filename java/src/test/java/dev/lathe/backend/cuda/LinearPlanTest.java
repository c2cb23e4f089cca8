package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Geometry of linear layers, for devices that need not be there. */
class LinearPlanTest {
  private static final DeviceLimits H200 = new DeviceLimits(132, 227 * 1024, 32, 1024, 90);
  private static final DeviceLimits SMALL = new DeviceLimits(28, 99 * 1024, 32, 1024, 86);
  private static final long[][] SHAPES = {
    {1, 1}, {7, 8191}, {512, 2048}, {2048, 8192}, {4096, 4096}, {28_672, 8192}, {128_256, 2048}
  };

  record Case(DeviceLimits limits, Weight weight) {}

  static List<Case> cases() {
    return List.of(SHAPES).stream()
        .flatMap(shape ->
            List.of(
                dense(DType.F32, shape),
                dense(DType.BF16, shape),
                dense(DType.F16, shape),
                int8(shape, shape[1]),
                int8(shape, 64))
                .stream())
        .flatMap(weight -> List.of(new Case(H200, weight), new Case(SMALL, weight)).stream())
        .toList();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void everyRowHasATeamAndSharedMemoryIsThere(Case c) {
    if (c.weight instanceof Weight.Int8 int8 && LinearPlan.isRagged(int8)) {
      return; // has a kernel that needs no plan
    }
    for (int batch = 1; batch <= LinearKernels.PASS_ROWS; batch++) {
      LinearPlan plan = LinearPlan.of(c.limits, c.weight, batch, false);
      assertThat(plan.sharedBytes()).isLessThanOrEqualTo(c.limits.sharedBytesPerBlock());
      assertThat(plan.sharedBytes()).isGreaterThanOrEqualTo(plan.tileColumns() * batch * 4);
      assertThat(plan.warpsPerRow()).isIn(1, 2, 4);
      assertThat(plan.warpsPerRow())
          .as("the order of a sum")
          .isEqualTo(LinearPlan.of(c.limits, c.weight, 1, false).warpsPerRow());
      // At most 4 rows a team.
      assertThat(plan.blocks() * 8 / plan.warpsPerRow() * 4)
          .isGreaterThanOrEqualTo(c.weight.rows());
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void tilesCoverTheOutput(Case c) {
    for (long tokens : new long[] {9, 16, 17, 64, 65, 2048}) {
      if (!TilePlan.multiplies(c.weight)) {
        continue;
      }
      TilePlan plan = TilePlan.of(c.limits, c.weight, tokens);
      assertThat(plan.sharedBytes()).isLessThanOrEqualTo(c.limits.sharedBytesPerBlock());
      long outputs = plan.xRows() == 0 ? 32 * 64 : 64L * plan.xRows();
      assertThat(plan.blocks() * outputs).isGreaterThanOrEqualTo(c.weight.rows() * tokens);
      // Each part has a stage at least, and together they are no more than run at once.
      assertThat((plan.splits() - 1) * 256L).isLessThan(c.weight.cols());
      assertThat(plan.splits() == 1 ? 0 : plan.blocks() * plan.splits())
          .isLessThanOrEqualTo(2L * c.limits.multiprocessors());
      assertThat(plan.splits()).isLessThanOrEqualTo(DeviceLimits.MAX_GRID_YZ);
    }
  }

  /** Decode on the largest device: one wave of blocks where the weight has no more. */
  @Test
  void oneRowFillsTheDevice() {
    for (long[] shape : new long[][] {{2048, 2048}, {2048, 8192}, {4096, 4096}}) {
      LinearPlan plan = LinearPlan.of(H200, dense(DType.BF16, shape), 1, false);
      assertThat(plan.blocks()).isBetween(240L, 264L);
    }
  }

  /** Where a batch has fewer tiles than the device runs blocks, it divides columns among more. */
  @Test
  void fewTilesDivideTheirColumns() {
    assertThat(filled(H200, dense(DType.BF16, new long[] {2048, 2048}), 16)).isEqualTo(32 * 4);
    assertThat(filled(H200, dense(DType.BF16, new long[] {2048, 8192}), 32)).isEqualTo(32 * 8);
    assertThat(filled(H200, int8(new long[] {2048, 2048}, 2048), 16)).isEqualTo(32 * 4);
    assertThat(filled(H200, int8(new long[] {3072, 2048}, 64), 32)).isEqualTo(48 * 2);
    assertThat(filled(SMALL, dense(DType.F16, new long[] {512, 4096}), 16)).isEqualTo(8 * 3);
    // Enough tiles, too few columns, or F32: nothing is divided.
    assertThat(filled(H200, dense(DType.BF16, new long[] {16_384, 2048}), 16)).isEqualTo(256);
    assertThat(filled(H200, dense(DType.BF16, new long[] {64, 1023}), 16)).isEqualTo(1);
    assertThat(TilePlan.of(H200, dense(DType.F32, new long[] {64, 8192}), 16).splits()).isOne();
  }

  private static long filled(DeviceLimits limits, Weight weight, long tokens) {
    TilePlan plan = TilePlan.of(limits, weight, tokens);
    assertThat(plan.partialFloats(tokens, weight.rows()))
        .isEqualTo(plan.splits() == 1 ? 0 : plan.splits() * tokens * weight.rows());
    return plan.blocks() * plan.splits();
  }

  /**
   * Latency times bandwidth: 4.3 TB/s for 0.8 us are 3.4 MB, 26 KB a multiprocessor of an H200. The
   * table of docs/architecture.md: [outputs, inputs], KB in flight as BF16 and as INT8 by channel,
   * for 1, 2, 4 and 8 rows of x.
   */
  @ParameterizedTest
  @CsvSource({
    "llama-3.2-1b qkv,     3072,   2048, 64 64 64 23, 47 47 23 32",
    "llama-3.2-1b o,       2048,   2048, 62 62 62 16, 31 31 16 31",
    "llama-3.2-1b gate+up, 16384,  2048, 64 64 64 32, 64 64 32 32",
    "llama-3.2-1b down,    2048,   8192, 62 62 62 16, 62 62 31 32",
    "llama-3.2-1b head,    128256, 2048, 64 64 64 32, 64 64 32 32",
    "llama-3.1-8b qkv,     6144,   4096, 64 64 64 23, 64 64 32 32",
    "llama-3.1-8b o,       4096,   4096, 62 62 62 16, 62 62 31 32",
    "llama-3.1-8b gate+up, 28672,  4096, 64 64 64 32, 64 64 32 32",
    "llama-3.1-8b down,    4096,  14336, 62 62 62 16, 62 62 31 32",
    "llama-3.1-8b head,    128256, 4096, 64 64 64 32, 64 64 32 32",
    "W8A16,                28672,  8192, 64 64 64 32, 64 64 32 32"
  })
  void bytesInFlight(String layer, long outputs, long inputs, String bf16, String int8) {
    long[] shape = {outputs, inputs};
    assertThat(kilobytesInFlight(dense(DType.BF16, shape))).as("%s, BF16", layer).isEqualTo(bf16);
    assertThat(kilobytesInFlight(int8(shape, inputs))).as("%s, INT8", layer).isEqualTo(int8);
  }

  private static String kilobytesInFlight(Weight weight) {
    return IntStream.of(1, 2, 4, 8)
        .mapToObj(batch ->
            Long.toString(
                Math.round(LinearPlan.of(H200, weight, batch, false).bytesInFlight() / 1024)))
        .collect(Collectors.joining(" "));
  }

  /** A group that ends within a lane's bytes can't be scaled with them. */
  @Test
  void groupsDecideOnTheKernel() {
    assertThat(LinearPlan.isRagged(int8(new long[] {3, 80}, 5))).isTrue();
    assertThat(LinearPlan.isRagged(int8(new long[] {3, 80}, 16))).isFalse();
    assertThat(LinearPlan.isRagged(int8(new long[] {3, 7}, 7))).as("by channel").isFalse();
    assertThat(TilePlan.multiplies(int8(new long[] {3, 80}, 16))).isFalse();
    assertThat(TilePlan.multiplies(int8(new long[] {3, 256}, 128))).isTrue();
  }

  /** Addresses that nobody reads. */
  private static Tensor tensor(DType dtype, long... shape) {
    return Tensor.onDevice(
        MemorySegment.ofAddress(1 << 20).reinterpret(Tensor.elements(shape) * dtype.bytes()),
        dtype,
        shape);
  }

  private static Weight.Dense dense(DType dtype, long[] shape) {
    return new Weight.Dense(tensor(dtype, shape));
  }

  private static Weight.Int8 int8(long[] shape, long groupSize) {
    return new Weight.Int8(
        tensor(DType.I8, shape),
        tensor(DType.F32, shape[0], Math.ceilDiv(shape[1], groupSize)),
        Optional.empty());
  }
}
