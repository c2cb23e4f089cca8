package dev.lathe.backend.cuda;

/**
 * How the kernels that go through rows are launched.
 *
 * @param warps a warp has a row, not a block
 */
record RowGeometry(boolean warps, long blocks, int threads) {
  static final int WARP = 32;

  /** Threads of blocks that share rows or single values; {@code LATHE_KERNEL} bounds them. */
  static final int THREADS = 256;

  /** Threads of a block that has a long row to itself, where there are few of them. */
  private static final int MOST_THREADS = 512;

  /** Values that a thread takes at a time. */
  private static final int VECTOR = 4;

  /** Up to this many columns a warp is enough for a row, where there are rows for all of them. */
  private static final int WARP_COLUMNS = 1024;

  /** Threads that a multiprocessor holds: 1,536 to 2,048. */
  private static final int RESIDENT_THREADS = 2048;

  /** A norm of each row by itself. */
  static RowGeometry ofNorm(DeviceLimits limits, long rows, long cols) {
    // A warp needs no barrier, but there has to be a row for each that the device could run.
    long enough = (long) limits.multiprocessors() * (RESIDENT_THREADS / WARP) / 2;
    if (cols <= VECTOR * WARP || (cols <= WARP_COLUMNS && rows >= enough)) {
      long each = Math.ceilDiv(rows, limits.multiprocessors());
      int threads = WARP * Math.clamp(each, 1, THREADS / WARP);
      return new RowGeometry(true, gridOf(Math.ceilDiv(rows, threads / WARP)), threads);
    }
    int most = rows <= limits.multiprocessors() ? MOST_THREADS : THREADS;
    return new RowGeometry(false, gridOf(rows), wholeWarps(Math.ceilDiv(cols, VECTOR), most));
  }

  /** Each value by itself: not more blocks than the device holds at once. */
  static RowGeometry ofEach(DeviceLimits limits, long values) {
    long resident = (long) limits.multiprocessors() * (RESIDENT_THREADS / THREADS);
    long blocks = Math.min(Math.ceilDiv(values, VECTOR * THREADS), resident);
    return new RowGeometry(false, blocks, THREADS);
  }

  /** Threads that add up a row of a norm. */
  int threadsOfARow() {
    return warps ? WARP : threads;
  }

  /** What kernels that come in both ways end in. */
  String suffix() {
    return warps ? "_warp" : "_block";
  }

  /** Rows in x, pieces of a row in y: four columns a thread, or one where they are no fours. */
  static void launchRows(CudaKernel kernel, long rows, int cols) {
    int work = cols % VECTOR == 0 ? cols / VECTOR : cols;
    int threads = wholeWarps(work, THREADS);
    int pieces = Math.min(DeviceLimits.MAX_GRID_YZ, Math.ceilDiv(work, threads));
    kernel.launch(rows, pieces, 1, threads, 0);
  }

  /** As many threads, in whole warps, at least one. */
  static int wholeWarps(long threads, int most) {
    return Math.clamp(Math.ceilDiv(threads, WARP) * WARP, WARP, most);
  }

  private static long gridOf(long blocks) {
    return Math.min(blocks, DeviceLimits.MAX_GRID_X);
  }
}
