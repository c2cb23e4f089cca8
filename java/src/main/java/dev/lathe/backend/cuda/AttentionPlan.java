package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * Which attention kernels run, in what geometry. It follows from shapes alone, never from what is
 * in device memory: a step that was captured in a graph is replayed with other context lengths.
 *
 * <p>Short sequences of new tokens (decode) and long ones (prefill) go to different kernels, each
 * of which takes the sequences with so many new tokens and leaves the others; how a batch's tokens
 * are spread over its sequences is known on the device only.
 *
 * @param launches one or two; no sequence is taken by both
 */
record AttentionPlan(List<Launch> launches) {
  /** Keys that are worth a block of their own, when those of a tile are divided. */
  static final int KEYS_PER_SPLIT = 128;

  /** Parts that a tile's keys are divided into, at most. */
  static final int MAX_SPLITS = 128;

  /** Partial results are for so many times the blocks that run at a time, at most. */
  private static final int WAVES_WITH_PARTIALS = 4;

  /** Threads of a block, of every kernel here. */
  static final int THREADS = 128;

  private static final int MAX_BLOCKS_AT_ONCE = 2048 / THREADS;

  /** Rows up to which one sequence's new tokens are better off with divided keys. */
  private static final int LONE_ROWS = 64;

  /**
   * One kernel.
   *
   * @param rowsPerTile rows (a query head of a new token) of a block
   * @param tiles at least as many as the batch can have
   * @param splits blocks that share a tile's keys; above 1 the last of them puts the parts
   *     together, or {@code paged_attention_combine}
   * @param keysPerSplit a block of several has at least so many
   * @param leastNew new tokens of a sequence that the kernel takes, at least
   * @param mostNew and at most
   * @param step keys that a block has in shared memory at a time, or stages of its pipeline; 0
   *     where the kernel has no choice
   */
  record Launch(
      String module,
      String kernel,
      int rowsPerTile,
      long tiles,
      int splits,
      int keysPerSplit,
      int leastNew,
      int mostNew,
      int step,
      int sharedBytes) {

    /** Whether blocks can share a tile's keys. */
    boolean isDivisible() {
      return !AttentionGeometry.PREFILL.contains(module);
    }

    /** F32 values of partial sums and statistics. */
    long partialFloats(AttentionShape shape) {
      return splits == 1 ? 0 : partialRows(shape) * (shape.headDim() + 2L);
    }

    /** Rows of partial sums, headDim values each, and of statistics, two each. */
    long partialRows(AttentionShape shape) {
      return tiles * shape.kvHeads() * splits * rowsPerTile;
    }

    /** How many blocks the device runs at a time, as far as shared memory goes. */
    int slots(DeviceLimits limits) {
      int perMultiprocessor =
          Math.clamp(limits.sharedBytesPerBlock() / (sharedBytes + 1024), 1, MAX_BLOCKS_AT_ONCE);
      return limits.multiprocessors() * perMultiprocessor;
    }

    /**
     * The same kernel with other splits. What each part of a row counts needs shared memory, which
     * the parts' own numbers leave free by then.
     */
    Launch withSplits(int otherSplits, int otherKeysPerSplit) {
      return new Launch(
          module,
          kernel,
          rowsPerTile,
          tiles,
          otherSplits,
          otherKeysPerSplit,
          leastNew,
          mostNew,
          step,
          Math.max(sharedBytes, rowsPerTile * (otherSplits + 1) * Float.BYTES));
    }
  }

  /** What a batch looks like from the host. */
  record Sizes(int tokens, int sequences, long blocks, int pageSize) {
    /** Keys that a sequence has where all have as many as the block table has room for. */
    long keysPerSequence() {
      return Math.max(1, blocks * pageSize / Math.max(1, sequences));
    }
  }

  /** F32 values that partial results take at most. */
  long partialFloats(AttentionShape shape) {
    return launches.stream().mapToLong(launch -> launch.partialFloats(shape)).max().orElse(0);
  }

  /** F32 values that partial results take at most, whatever the batch. */
  static long mostPartialFloats(DeviceLimits limits, AttentionShape shape, DType type) {
    long most = 0;
    for (Launch few :
        AttentionGeometry.hasTensorCoreKernels(shape, type)
            ? List.of(
                AttentionGeometry.decode(limits, shape, type),
                AttentionGeometry.generalFew(limits, shape, type))
            : List.of(AttentionGeometry.generalFew(limits, shape, type))) {
      long rows = (long) WAVES_WITH_PARTIALS * few.slots(limits) * few.rowsPerTile;
      most = Math.max(most, rows * (shape.headDim() + 2L));
    }
    return most;
  }

  /** Tiles and kv heads whose keys are divided, together, at most, whatever the batch. */
  static int mostDivided(DeviceLimits limits) {
    // Partial results are for so many blocks at most, and each of those tiles has two or more.
    return WAVES_WITH_PARTIALS * MAX_BLOCKS_AT_ONCE * limits.multiprocessors() / 2;
  }

  /** The fastest kernels that take this shape; memory is aligned to 16 bytes. */
  static AttentionPlan of(DeviceLimits limits, AttentionShape shape, DType type, Sizes sizes) {
    return AttentionGeometry.fitsTensorCores(shape, type, sizes.pageSize)
        ? divided(
            limits,
            shape,
            sizes,
            AttentionGeometry.decode(limits, shape, type),
            AttentionGeometry.prefill(limits, shape, type))
        : general(limits, shape, type, sizes);
  }

  /** For any shape, without tensor cores. */
  static AttentionPlan general(DeviceLimits limits, AttentionShape shape, DType type, Sizes sizes) {
    return divided(
        limits,
        shape,
        sizes,
        AttentionGeometry.generalFew(limits, shape, type),
        AttentionGeometry.generalMany(limits, shape, type));
  }

  /** A launch without its tiles: decode and prefill, each with what it takes. */
  private static AttentionPlan divided(
      DeviceLimits limits, AttentionShape shape, Sizes sizes, Launch few, Launch many) {
    int group = shape.heads() / shape.kvHeads();
    long rows = (long) sizes.tokens * group;
    if (sizes.tokens <= sizes.sequences || (sizes.sequences == 1 && rows <= LONE_ROWS)) {
      return new AttentionPlan(
          List.of(
              split(
                  limits,
                  shape,
                  sizes,
                  take(few, rows / few.rowsPerTile + sizes.sequences, 1, Integer.MAX_VALUE))));
    }
    int mostOfFew = Math.max(1, few.rowsPerTile / group);
    List<Launch> launches = new ArrayList<>();
    if (sizes.sequences > 1) {
      long tiles = (long) sizes.sequences * Math.ceilDiv(group, few.rowsPerTile);
      launches.add(split(limits, shape, sizes, take(few, tiles, 1, mostOfFew)));
    }
    launches.add(
        take(
            many,
            rows / many.rowsPerTile + sizes.sequences,
            sizes.sequences > 1 ? mostOfFew + 1 : 1,
            Integer.MAX_VALUE));
    return new AttentionPlan(launches);
  }

  private static Launch take(Launch launch, long tiles, int least, int most) {
    return new Launch(
        launch.module,
        launch.kernel,
        launch.rowsPerTile,
        tiles,
        1,
        launch.keysPerSplit,
        least,
        most,
        launch.step,
        launch.sharedBytes);
  }

  /**
   * The fewest parts that keep the device nearly as busy as the best number of them would: at least
   * 95 % of its share of full waves (as FlashAttention-3 chooses with 85 %, Shah et al. 2024, arXiv
   * 2407.08608; here more blocks are more bytes on their way).
   */
  private static Launch split(
      DeviceLimits limits, AttentionShape shape, Sizes sizes, Launch launch) {
    long keys = Math.min(sizes.keysPerSequence(), shape.window());
    int group = shape.heads() / shape.kvHeads();
    long tiles =
        Math.min(launch.tiles, (long) sizes.sequences * Math.ceilDiv(group, launch.rowsPerTile));
    double slots = launch.slots(limits);
    double blocks = (double) tiles * shape.kvHeads();
    if (blocks >= 0.8 * slots) {
      return launch;
    }
    long room = (long) (WAVES_WITH_PARTIALS * slots) / (launch.tiles * shape.kvHeads());
    int most =
        Math.clamp(Math.min(room, Math.ceilDiv(keys, (long) launch.keysPerSplit)), 1, MAX_SPLITS);
    double best = 0;
    for (int splits = 1; splits <= most; splits++) {
      best = Math.max(best, occupancy(blocks * splits / slots));
    }
    int splits = 1;
    while (splits < most && occupancy(blocks * splits / slots) < 0.95 * best) {
      splits++;
    }
    return launch.withSplits(splits, launch.keysPerSplit);
  }

  private static double occupancy(double waves) {
    return waves / Math.ceil(waves);
  }
}
