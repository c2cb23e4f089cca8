package dev.lathe.backend.cuda;

import dev.lathe.backend.TokenQuantization;
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
 * @param bytesInFlight bytes of the weight that a multiprocessor has on their way at a time, on
 *     average over the device, while each has work: latency times bandwidth is what it takes
 */
record LinearPlan(
    String module,
    String kernel,
    int warpsPerRow,
    int tileColumns,
    int sharedBytes,
    long blocks,
    double bytesInFlight) {
  static final int THREADS = 256;
  private static final int WARPS = THREADS / 32;
  private static final int CHUNK_BYTES = 16;

  /**
   * Blocks that a multiprocessor runs at once: by registers, of which each thread takes 80 to 128.
   */
  private static final int BLOCKS_PER_MULTIPROCESSOR = 2;

  /** What more warps a row must bring to be worth another sum across them. */
  private static final double WORTH = 1.1;

  /** Leaves room for two blocks a multiprocessor on every device. */
  private static final int TILE_BYTES = 40 * 1024;

  /** What a kernel was compiled for; the same numbers as in the .cu files. */
  private record Instance(int batch, int rows, int unroll) {
    long blocks(long rowsOfWeight, int warps) {
      return Math.ceilDiv(rowsOfWeight, (long) rows * WARPS / warps);
    }

    /** Of each row a lane has so many chunks on their way, if there are so many for each lane. */
    double bytesInFlight(DeviceLimits limits, Weight weight, int chunkColumns, int warps) {
      double chunksOfLane = (double) weight.cols() / chunkColumns / (RowGeometry.WARP * warps);
      double ofThread = rows * CHUNK_BYTES * Math.min(unroll, chunksOfLane);
      double blocksAtOnce =
          Math.min(
              BLOCKS_PER_MULTIPROCESSOR,
              (double) blocks(weight.rows(), warps) / limits.multiprocessors());
      return ofThread * THREADS * blocksAtOnce;
    }
  }

  private static final Instance[] DENSE = {
    new Instance(1, 2, 4), new Instance(2, 2, 4), new Instance(4, 2, 4), new Instance(8, 4, 1)
  };
  private static final Instance[] INT8 = {
    new Instance(1, 4, 2), new Instance(2, 4, 2), new Instance(4, 4, 1), new Instance(8, 2, 2)
  };
  private static final Instance[] GROUPED = {
    new Instance(1, 4, 1), new Instance(2, 4, 1), new Instance(4, 2, 2), new Instance(8, 2, 1)
  };

  /** Whether a group's end lies within the bytes that a lane loads at once. */
  static boolean isRagged(Weight.Int8 weight) {
    return weight.scales().size(1) > 1 && weight.groupSize() % CHUNK_BYTES != 0;
  }

  /**
   * @param weight dense, or INT8 that is not ragged; not for INT8 activations, which these kernels
   *     would multiply as they are
   * @param batch rows of x, 1 to 8
   * @param gated half of a team's rows are the gate's, the others up's
   */
  static LinearPlan of(DeviceLimits limits, Weight weight, int batch, boolean gated) {
    return switch (weight) {
      case Weight.Dense dense ->
          of(
              limits,
              "linear_dense",
              "linear_" + name(dense.values().dtype()),
              DENSE,
              batch,
              CHUNK_BYTES / dense.values().dtype().bytes(),
              weight,
              gated);
      case Weight.Int8 int8 when TokenQuantization.isFor(int8) ->
          throw new IllegalArgumentException("W8A8 is multiplied by W8A8Linear");
      case Weight.Int8 int8 when int8.scales().size(1) > 1 ->
          of(
              limits,
              "linear_int8",
              "linear_int8_grouped",
              GROUPED,
              batch,
              CHUNK_BYTES,
              weight,
              gated);
      case Weight.Int8 _ ->
          of(limits, "linear_int8", "linear_int8", INT8, batch, CHUNK_BYTES, weight, gated);
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
      Instance[] instances,
      int batch,
      int chunkColumns,
      Weight weight,
      boolean gated) {
    Instance instance = instance(instances, batch);
    int warps = warpsPerRow(limits, instances[0], chunkColumns, weight);
    long cols = weight.cols();
    long round = (long) instance.unroll * RowGeometry.WARP * warps * chunkColumns;
    long columnBytes = (long) instance.batch * Float.BYTES;
    long most = Math.max(1, TILE_BYTES / (columnBytes * round));
    long tile = round * Math.clamp(Math.ceilDiv(cols, round), 1, most);
    return new LinearPlan(
        module,
        kernel + "_" + instance.batch,
        warps,
        Math.toIntExact(tile),
        Math.toIntExact(tile * columnBytes),
        gated
            // A team has half of its rows of the gate, and half of up.
            ? new Instance(instance.batch, instance.rows / 2, instance.unroll)
                .blocks(weight.rows() / 2, warps)
            : instance.blocks(weight.rows(), warps),
        instance.bytesInFlight(limits, weight, chunkColumns, warps));
  }

  /**
   * As few warps a row as keep as much of the weight on its way as any number would, for one row of
   * x: more where rows are few, fewer where they are too short for each lane to have a whole round.
   */
  private static int warpsPerRow(
      DeviceLimits limits, Instance ofOneRow, int chunkColumns, Weight weight) {
    int best = 1;
    for (int warps = 2; warps <= 4; warps *= 2) {
      if (ofOneRow.bytesInFlight(limits, weight, chunkColumns, warps)
          > WORTH * ofOneRow.bytesInFlight(limits, weight, chunkColumns, best)) {
        best = warps;
      }
    }
    return best;
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
