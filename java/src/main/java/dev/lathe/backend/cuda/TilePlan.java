package dev.lathe.backend.cuda;

import dev.lathe.backend.TokenQuantization;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;

/**
 * How a product of 9 rows and more is launched: see cuda-kernels/linear_tiles.cu and
 * linear_tiles_f32.cu. Blocks with the same rows of the weight follow each other.
 *
 * @param xRows rows of x that a block has shared memory for; 0 where the kernel doesn't ask
 * @param blocks tiles of the output
 * @param splits blocks that divide a tile's columns; above 1 linear_tiles_combine follows
 */
record TilePlan(
    String module,
    String kernel,
    int threads,
    int xRows,
    int sharedBytes,
    long blocks,
    int splits) {
  /** Columns that a warp of linear_tiles.cu multiplies before it scales: groups end there. */
  private static final int INT8_GROUP_COLUMNS = 64;

  private static final int THREADS = 256;
  private static final int STAGES = 3;
  private static final int TILE_ROWS = 64;
  private static final int LANE_BYTES = 16;
  private static final int COLUMN_GROUPS = 4;

  /** Of a part: below, filling the pipeline and adding up the parts cost what they gain. */
  private static final int LEAST_COLUMNS = 512;

  /** Registers leave room for two blocks of a multiprocessor where a thread takes up to 128. */
  private static final int RESIDENT = 2;

  /** With groups a thread takes more. */
  private static final int RESIDENT_GROUPED = 1;

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
              Math.ceilDiv(weight.rows(), F32_ROWS) * Math.ceilDiv(tokens, F32_TOKENS),
              1);
      case Weight.Dense dense ->
          of(limits, weight, "linear_tiles_" + LinearPlan.name(dense.values().dtype()), 2, tokens);
      case Weight.Int8 int8 when TokenQuantization.isFor(int8) ->
          throw new IllegalArgumentException("W8A8 is multiplied by W8A8Linear");
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
    int sharedBytes = sharedBytes(xRows, valueBytes);
    long blocks = Math.ceilDiv(weight.rows(), TILE_ROWS) * Math.ceilDiv(tokens, xRows);
    int resident =
        Math.clamp(
            limits.sharedBytesPerBlock() / (sharedBytes + 1024),
            1,
            kernel.endsWith("_grouped") ? RESIDENT_GROUPED : RESIDENT);
    long room = (long) resident * limits.multiprocessors() / blocks;
    int splits = Math.clamp(Math.min(room, weight.cols() / LEAST_COLUMNS), 1, Integer.MAX_VALUE);
    return new TilePlan("linear_tiles", kernel, THREADS, xRows, sharedBytes, blocks, splits);
  }

  /** A stage: x, four bytes each, and of W four times 16 bytes for each thread. */
  private static int sharedBytes(int xRows, int valueBytes) {
    return STAGES * (xRows * stageColumns(valueBytes) * Float.BYTES + 4 * LANE_BYTES * THREADS);
  }

  /** Columns that a block multiplies at a time: there can be no more parts. */
  static int stageColumns(int valueBytes) {
    return COLUMN_GROUPS * 4 * LANE_BYTES / valueBytes;
  }

  /** F32 values of the parts' sums; 0 where columns are not divided. */
  long partialFloats(long tokens, long outputs) {
    return splits == 1 ? 0 : splits * tokens * outputs;
  }

  /** The same with columns divided otherwise, by the kernels of a module. */
  TilePlan with(String otherModule, int otherSplits) {
    return new TilePlan(otherModule, kernel, threads, xRows, sharedBytes, blocks, otherSplits);
  }
}
