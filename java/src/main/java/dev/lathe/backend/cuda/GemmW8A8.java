package dev.lathe.backend.cuda;

import dev.lathe.backend.Epilogue;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.Optional;

/**
 * INT8 activations times INT8 weights, scaled by token and by channel: gemm_w8a8.cu. Sums are
 * exact, so the result doesn't depend on the shape of the tiles.
 */
final class GemmW8A8 {
  /** Longest rows: sums of longer ones may not fit in 32 bits. */
  static final long MAX_DEPTH = ActivationFormat.MOST_COLUMNS;

  /** Most rows of activations for which the weights are read by small tiles. */
  static final int SMALL_ROWS = 64;

  private static final int TILE = 128;
  private static final int TILE_THREADS = 256;
  private static final int TILE_SHARED_BYTES = 4 * (128 + 128) * 64;
  private static final int SMALL_TILE_ROWS = 32;
  private static final int SMALL_TILE_COLS = 64;
  private static final int SMALL_THREADS = 128;
  private static final int SMALL_SHARED_BYTES = 4 * (32 + 64) * 128;
  private static final int SMALL_DEPTH = 128;

  /** Blocks of small tiles that a multiprocessor runs at once. */
  private static final int SMALL_BLOCKS = 4;

  /** Steps of a block below which dividing the depth costs more than it gains. */
  private static final int MIN_STEPS = 4;

  private static final int COMBINE_THREADS = 256;

  private final CudaKernels kernels;
  private final DeviceLimits limits;

  GemmW8A8(CudaKernels kernels, DeviceLimits limits) {
    this.kernels = kernels;
    this.limits = limits;
  }

  /** Into how many parts the depth is divided, so that all multiprocessors read weights. */
  int splits(long rows, long cols, long depth) {
    if (rows > SMALL_ROWS || depth == 0) {
      return 1;
    }
    long tiles = Math.ceilDiv(rows, SMALL_TILE_ROWS) * Math.ceilDiv(cols, SMALL_TILE_COLS);
    long wanted = (long) SMALL_BLOCKS * limits.multiprocessors() / Math.max(1, tiles);
    long most = Math.ceilDiv(depth, SMALL_DEPTH) / MIN_STEPS;
    long splits = Math.clamp(wanted, 1, Math.max(1, most));
    return Math.toIntExact(Math.ceilDiv(depth, splitDepth(depth, splits)));
  }

  private static long splitDepth(long depth, long splits) {
    return Math.ceilDiv(Math.ceilDiv(depth, splits), SMALL_DEPTH) * SMALL_DEPTH;
  }

  /** Bytes of device memory that {@link #multiply} needs: 0 or a sum for each part. */
  long workspaceBytes(long rows, long cols, long depth) {
    int splits = splits(rows, cols, depth);
    return splits == 1 ? 0 : splits * rows * cols * Integer.BYTES;
  }

  /**
   * out[m, n] = [out[m, n] +] (sum over k of a[m, k] * b[n, k]) * aScales[m] * bScales[n] +
   * bias[n]. Rounded after each of the steps that follow the sum, in this order, and added to out
   * at last.
   *
   * @param out [m, n] F32, rows may be strided
   * @param a [m, k] and {@code b} [n, k], k up to {@link #MAX_DEPTH}
   * @param bias [n] F32
   * @param workspace address of {@link #workspaceBytes}, aligned to 4; unused where that is 0
   */
  void multiply(
      Tensor out,
      Int8Rows a,
      Int8Rows b,
      Optional<Tensor> bias,
      Epilogue epilogue,
      long workspace) {
    check(out, a, b, bias);
    long rows = out.size(0);
    long cols = out.size(1);
    long depth = a.cols();
    if (rows == 0 || cols == 0) {
      return;
    }
    int splits = splits(rows, cols, depth);
    if (splits > 1) {
      kernels
          .get("gemm_w8a8", "gemm_w8a8_small_split")
          .pointer(workspace)
          .pointer(a.codes())
          .pointer(b.codes())
          .i64(rows)
          .i64(cols)
          .i64(depth)
          .i64(splitDepth(depth, splits))
          .launch(
              Math.ceilDiv(rows, SMALL_TILE_ROWS),
              Math.toIntExact(Math.ceilDiv(cols, SMALL_TILE_COLS)),
              splits,
              SMALL_THREADS,
              SMALL_SHARED_BYTES);
      start("gemm_w8a8_combine", out, a, b, bias, epilogue)
          .pointer(workspace)
          .i64(rows)
          .i64(cols)
          .i32(splits)
          .launch(
              Math.ceilDiv(cols, COMBINE_THREADS), Math.toIntExact(rows), 1, COMBINE_THREADS, 0);
      return;
    }
    boolean small = rows <= SMALL_ROWS;
    start(small ? "gemm_w8a8_small" : "gemm_w8a8_tile", out, a, b, bias, epilogue)
        .pointer(a.codes())
        .pointer(b.codes())
        .i64(rows)
        .i64(cols)
        .i64(depth)
        .launch(
            Math.ceilDiv(rows, small ? SMALL_TILE_ROWS : TILE),
            Math.toIntExact(Math.ceilDiv(cols, small ? SMALL_TILE_COLS : TILE)),
            1,
            small ? SMALL_THREADS : TILE_THREADS,
            small ? SMALL_SHARED_BYTES : TILE_SHARED_BYTES);
  }

  /** What the arguments of a kernel that finishes sums begin with. */
  private CudaKernel start(
      String kernel, Tensor out, Int8Rows a, Int8Rows b, Optional<Tensor> bias, Epilogue epilogue) {
    return kernels
        .get("gemm_w8a8", kernel)
        .pointer(out)
        .i64(out.rowStride())
        .pointer(a.scales())
        .pointer(b.scales())
        .pointer(bias.map(Tensor::address).orElse(0L))
        .i32(epilogue == Epilogue.ADD ? 1 : 0);
  }

  private static void check(Tensor out, Int8Rows a, Int8Rows b, Optional<Tensor> bias) {
    boolean fits =
        out.dtype() == DType.F32
            && a.rows() == out.size(0)
            && b.rows() == out.size(1)
            && a.cols() == b.cols()
            && a.cols() <= MAX_DEPTH
            && bias.stream()
                .allMatch(all -> all.dtype() == DType.F32 && all.elements() == out.size(1));
    if (!fits) {
      throw new IllegalArgumentException(
          "w8a8: out %s, a %s, b %s, bias %s; depth up to %d"
              .formatted(out, a, b, bias, MAX_DEPTH));
    }
  }
}
