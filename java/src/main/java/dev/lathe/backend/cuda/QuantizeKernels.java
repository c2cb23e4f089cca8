package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;

/** INT8 from F32 by row, and back: quantize.cu. */
final class QuantizeKernels {
  private static final int THREADS = 256;

  /** Blocks of {@link #THREADS} threads that a multiprocessor runs at once. */
  private static final int BLOCKS = 8;

  private final CudaKernels kernels;
  private final DeviceLimits limits;

  QuantizeKernels(CudaKernels kernels, DeviceLimits limits) {
    this.kernels = kernels;
    this.limits = limits;
  }

  /**
   * Each row as {@link dev.lathe.tensor.ActivationFormat#INT8}, to the bit.
   *
   * @param x [rows, cols] F32, rows may be strided
   */
  void quantizeRows(Int8Rows to, Tensor x) {
    check("quantizeRows", to, x, x.dtype() == DType.F32);
    if (x.size(0) > 0) {
      CudaKernel kernel =
          kernels
              .get("quantize", "quantize_rows_s8")
              .pointer(to.codes())
              .pointer(to.scales())
              .pointer(x)
              .i64(x.rowStride());
      launch(kernel, x);
    }
  }

  /**
   * y[r, c] = codes[r, c] * scales[r], rounded to y's type.
   *
   * @param y [rows, cols] F32, BF16 or F16, contiguous
   */
  void dequantizeRows(Tensor y, Int8Rows from) {
    String name =
        switch (y.dtype()) {
          case F32 -> "dequantize_rows_f32";
          case BF16 -> "dequantize_rows_bf16";
          case F16 -> "dequantize_rows_f16";
          default -> "";
        };
    check("dequantizeRows", from, y, !name.isEmpty() && y.isContiguous());
    if (y.elements() > 0) {
      launch(
          kernels.get("quantize", name).pointer(y).pointer(from.codes()).pointer(from.scales()), y);
    }
  }

  private void launch(CudaKernel kernel, Tensor shape) {
    kernel
        .i64(shape.size(0))
        .i32(Math.toIntExact(shape.size(1)))
        .launch(
            Math.min(shape.size(0), (long) BLOCKS * limits.multiprocessors()), 1, 1, THREADS, 0);
  }

  private static void check(String what, Int8Rows narrow, Tensor wide, boolean fits) {
    if (!fits || narrow.rows() != wide.size(0) || narrow.cols() != wide.size(1)) {
      throw new IllegalArgumentException("%s: %s, wide %s".formatted(what, narrow, wide));
    }
  }
}
