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
   * scales[r] = max|x[r, :]| / 127 (1 for a row of zeros), q[r, c] = round-half-even(x[r, c] /
   * scales[r]), from -127 to 127. A row with a NaN or an infinity gets that for its scale.
   *
   * @param q [rows, cols] I8
   * @param scales [rows] F32
   * @param x [rows, cols] F32
   * @see <a href="https://arxiv.org/abs/2004.09602">Wu et al. 2020, section 3</a>
   */
  void quantizeRows(Tensor q, Tensor scales, Tensor x) {
    check("quantizeRows", q, scales, x, x.dtype() == DType.F32);
    if (x.elements() > 0) {
      launch(kernels.get("quantize", "quantize_rows_s8").pointer(q).pointer(scales).pointer(x), x);
    }
  }

  /**
   * y[r, c] = q[r, c] * scales[r], rounded to y's type.
   *
   * @param y [rows, cols] F32, BF16 or F16
   * @param q [rows, cols] I8
   * @param scales [rows] F32
   */
  void dequantizeRows(Tensor y, Tensor q, Tensor scales) {
    String name =
        switch (y.dtype()) {
          case F32 -> "dequantize_rows_f32";
          case BF16 -> "dequantize_rows_bf16";
          case F16 -> "dequantize_rows_f16";
          default -> "";
        };
    check("dequantizeRows", q, scales, y, !name.isEmpty());
    if (y.elements() > 0) {
      launch(kernels.get("quantize", name).pointer(y).pointer(q).pointer(scales), y);
    }
  }

  private void launch(CudaKernel kernel, Tensor shape) {
    kernel
        .i64(shape.size(0))
        .i32(Math.toIntExact(shape.size(1)))
        .launch(
            Math.min(shape.size(0), (long) BLOCKS * limits.multiprocessors()), 1, 1, THREADS, 0);
  }

  private static void check(String what, Tensor q, Tensor scales, Tensor x, boolean typed) {
    if (!typed
        || q.dtype() != DType.I8
        || scales.dtype() != DType.F32
        || q.size(0) != x.size(0)
        || q.size(1) != x.size(1)
        || scales.elements() != x.size(0)) {
      throw new IllegalArgumentException(
          "%s: INT8 %s, scales %s, wide %s".formatted(what, q, scales, x));
    }
  }
}
