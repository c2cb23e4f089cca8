package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;

/**
 * How a product of 9 rows and more is launched: see cuda-kernels/linear_tiles.cu and
 * linear_tiles_f32.cu. Blocks with the same rows of the weight follow each other.
 *
 * @param xRows rows of x that a block has shared memory for; 0 where the kernel doesn't ask
 */
record TilePlan(
    String module, String kernel, int threads, int xRows, int sharedBytes, long blocks) {
  /** Columns that a warp of linear_tiles.cu multiplies before it scales: groups end there. */
  private static final int INT8_GROUP_COLUMNS = 64;

  private static final int THREADS = 256;
  private static final int STAGES = 3;
  private static final int TILE_ROWS = 64;
  private static final int LANE_BYTES = 16;
  private static final int COLUMN_GROUPS = 4;

  private static final int F32_THREADS = 128;
  private static final int F32_ROWS = 32;
  private static final int F32_TOKENS = 64;
  private static final int F32_STRIDE = 36;

  /** Whether these kernels are made for the format; the others take 8 rows at a time. */
  static boolean multiplies(Weight weight) {
    return switch (weight) {
      case Weight.Dense _ -> true;
      case Weight.Int8 int8 ->
          int8.scales().size(1) == 1 || int8.groupSize() % INT8_GROUP_COLUMNS == 0;
      case Weight.Bitmap _, Weight.Stacked _ -> false;
    };
  }

  static TilePlan of(DeviceLimits limits, Weight weight, long tokens) {
    return switch (weight) {
      case Weight.Dense dense when dense.values().dtype() == DType.F32 ->
          new TilePlan(
              "linear_tiles_f32",
              "linear_tiles_f32",
              F32_THREADS,
              0,
              STAGES * (F32_ROWS + F32_TOKENS) * F32_STRIDE * Float.BYTES,
              Math.ceilDiv(weight.rows(), F32_ROWS) * Math.ceilDiv(tokens, F32_TOKENS));
      case Weight.Dense dense ->
          of(limits, weight, "linear_tiles_" + LinearPlan.name(dense.values().dtype()), 2, tokens);
      case Weight.Int8 int8 ->
          of(
              limits,
              weight,
              int8.scales().size(1) == 1 ? "linear_tiles_int8" : "linear_tiles_int8_grouped",
              1,
              tokens);
      default -> throw new IllegalArgumentException(weight.format());
    };
  }

  private static TilePlan of(
      DeviceLimits limits, Weight weight, String kernel, int valueBytes, long tokens) {
    int xRows = 32;
    if (tokens <= 16 || sharedBytes(xRows, valueBytes) > limits.sharedBytesPerBlock()) {
      xRows = 16;
    }
    return new TilePlan(
        "linear_tiles",
        kernel,
        THREADS,
        xRows,
        sharedBytes(xRows, valueBytes),
        Math.ceilDiv(weight.rows(), TILE_ROWS) * Math.ceilDiv(tokens, xRows));
  }

  /** A stage: x, four bytes each, and of W four times 16 bytes for each thread. */
  private static int sharedBytes(int xRows, int valueBytes) {
    int columns = COLUMN_GROUPS * 4 * LANE_BYTES / valueBytes;
    return STAGES * (xRows * columns * Float.BYTES + 4 * LANE_BYTES * THREADS);
  }
}
