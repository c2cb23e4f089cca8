package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;

/**
 * How a product of 1 to 8 rows is launched: see cuda-kernels/common/gemv.cuh. How many warps share
 * a row, and with it the order of a sum, depends on the shape of the weight and on the device
 * alone, so that a row's result is the same in any batch.
 *
 * @param warpsPerRow 1, 2 or 4 of a block's 8 warps
 * @param tileColumns columns of x in shared memory at a time; a multiple of what a team of warps
 *     takes in a round
 * @param blocks of {@link #THREADS} threads
 */
record LinearPlan(
    String module, String kernel, int warpsPerRow, int tileColumns, int sharedBytes, long blocks) {
  static final int THREADS = 256;
  private static final int WARPS = THREADS / 32;
  private static final int CHUNK_BYTES = 16;

  /** Blocks that a multiprocessor runs at once: each should have that many from the start. */
  private static final int BLOCKS_PER_MULTIPROCESSOR = 2;

  /** Leaves room for two blocks a multiprocessor on every device. */
  private static final int TILE_BYTES = 40 * 1024;

  /** What a kernel was compiled for; the same numbers as in the .cu files. */
  private record Instance(int batch, int rows, int unroll) {}

  private static final Instance[] DENSE = {
    new Instance(1, 2, 4), new Instance(2, 2, 4), new Instance(4, 2, 2), new Instance(8, 4, 1)
  };
  private static final Instance[] INT8 = {
    new Instance(1, 4, 2), new Instance(2, 4, 2), new Instance(4, 4, 1), new Instance(8, 2, 1)
  };
  private static final Instance[] GROUPED = {
    new Instance(1, 4, 1), new Instance(2, 4, 1), new Instance(4, 3, 1), new Instance(8, 2, 1)
  };

  /** Whether a group's end lies within the bytes that a lane loads at once. */
  static boolean isRagged(Weight.Int8 weight) {
    return weight.scales().size(1) > 1 && weight.groupSize() % CHUNK_BYTES != 0;
  }

  /**
   * @param weight dense, or INT8 that is not ragged
   * @param batch rows of x, 1 to 8
   */
  static LinearPlan of(DeviceLimits limits, Weight weight, int batch) {
    return switch (weight) {
      case Weight.Dense dense ->
          of(
              limits,
              "linear_dense",
              "linear_" + name(dense.values().dtype()),
              instance(DENSE, batch),
              CHUNK_BYTES / dense.values().dtype().bytes(),
              weight);
      case Weight.Int8 int8 when int8.scales().size(1) > 1 ->
          of(
              limits,
              "linear_int8",
              "linear_int8_grouped",
              instance(GROUPED, batch),
              CHUNK_BYTES,
              weight);
      case Weight.Int8 _ ->
          of(limits, "linear_int8", "linear_int8", instance(INT8, batch), CHUNK_BYTES, weight);
      default -> throw new IllegalArgumentException(weight.format());
    };
  }

  private static Instance instance(Instance[] instances, int batch) {
    for (Instance instance : instances) {
      if (batch <= instance.batch) {
        return instance;
      }
    }
    throw new IllegalArgumentException("a pass has at most 8 rows, not " + batch);
  }

  private static LinearPlan of(
      DeviceLimits limits,
      String module,
      String kernel,
      Instance instance,
      int chunkColumns,
      Weight weight) {
    long cols = weight.cols();
    int warps = warpsPerRow(limits, chunkColumns, weight.rows(), cols);
    long round = (long) instance.unroll * 32 * warps * chunkColumns;
    long columnBytes = (long) instance.batch * Float.BYTES;
    long most = Math.max(1, TILE_BYTES / (columnBytes * round));
    long tile = round * Math.clamp(Math.ceilDiv(cols, round), 1, most);
    return new LinearPlan(
        module,
        kernel + "_" + instance.batch,
        warps,
        Math.toIntExact(tile),
        Math.toIntExact(tile * columnBytes),
        Math.ceilDiv(weight.rows(), (long) instance.rows * WARPS / warps));
  }

  /** More warps a row where there are few rows, as long as each lane has two chunks to load. */
  private static int warpsPerRow(DeviceLimits limits, int chunkColumns, long rows, long cols) {
    int warps = 1;
    // Counted with two rows a team, whatever the instance has.
    while (warps < 4
        && rows * warps < 2L * WARPS * BLOCKS_PER_MULTIPROCESSOR * limits.multiprocessors()
        && cols >= 2L * 2 * warps * 32 * chunkColumns) {
      warps *= 2;
    }
    return warps;
  }

  /** F32 as {@code f32}, I8 as {@code int8}: as kernels are called. */
  static String name(DType type) {
    return switch (type) {
      case F32 -> "f32";
      case BF16 -> "bf16";
      case F16 -> "f16";
      case I8 -> "int8";
      default -> throw new IllegalArgumentException("no weights of type " + type);
    };
  }
}
