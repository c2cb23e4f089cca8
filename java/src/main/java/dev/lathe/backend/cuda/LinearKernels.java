package dev.lathe.backend.cuda;

import dev.lathe.backend.Checks;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;

/**
 * Linear layers by own kernels: linear_dense.cu, linear_int8.cu and linear_bitmap.cu. Geometry
 * depends on shapes only ({@link LinearPlan}), so that a captured step can be replayed.
 */
final class LinearKernels {
  /** Rows that one pass over the weights multiplies. */
  static final int PASS_ROWS = 8;

  private static final int BITMAP_THREADS = 128;

  private final CudaKernels kernels;
  private final DeviceLimits limits;

  LinearKernels(CudaKernels kernels, DeviceLimits limits) {
    this.kernels = kernels;
    this.limits = limits;
  }

  /**
   * {@link dev.lathe.backend.Backend#linear}.
   *
   * @param out [tokens, outputs] and {@code x} [tokens, inputs], F32; rows may be strided
   * @param layer its weight in one of the formats, rows of dense and INT8 values may be strided; no
   *     stack
   */
  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    for (long from = 0; from < x.size(0); from += PASS_ROWS) {
      long to = Math.min(from + PASS_ROWS, x.size(0));
      pass(out.rows(from, to), x.rows(from, to), layer, epilogue);
    }
  }

  private void pass(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    int batch = Math.toIntExact(x.size(0));
    switch (layer.weight()) {
      case Weight.Dense dense -> dense(out, x, layer, epilogue, dense.values(), batch);
      case Weight.Int8 int8 -> int8(out, x, layer, epilogue, int8, batch);
      case Weight.Bitmap bitmap -> bitmap(out, x, layer, epilogue, bitmap, batch);
      case Weight.Stacked stacked ->
          throw new IllegalArgumentException("a stack of matrices is multiplied part by part");
    }
  }

  private void dense(
      Tensor out, Tensor x, Linear layer, Epilogue epilogue, Tensor values, int batch) {
    LinearPlan plan = LinearPlan.dense(limits, values.dtype(), batch, layer);
    start(plan.module(), plan.kernel(), out, x, layer, epilogue)
        .pointer(values)
        .i64(values.rowStride())
        .i64(layer.outputs())
        .i32(Math.toIntExact(layer.inputs()))
        .i32(plan.warpsPerRow())
        .i32(plan.tileColumns())
        .launch(plan.blocks(), 1, 1, LinearPlan.THREADS, plan.sharedBytes());
  }

  private void int8(
      Tensor out, Tensor x, Linear layer, Epilogue epilogue, Weight.Int8 weight, int batch) {
    LinearPlan plan = LinearPlan.int8(limits, weight, batch);
    start(plan.module(), plan.kernel(), out, x, layer, epilogue)
        .pointer(weight.values())
        .i64(weight.values().rowStride())
        .pointer(weight.scales())
        .pointer(weight.zeroPoints().map(Tensor::address).orElse(0L))
        .i32(weight.scales().dtype() == DType.BF16 ? 1 : 0)
        .i32(Math.toIntExact(weight.scales().size(1)))
        .i32(Math.toIntExact(weight.groupSize()))
        .i64(layer.outputs())
        .i32(Math.toIntExact(layer.inputs()))
        .i32(plan.warpsPerRow())
        .i32(plan.tileColumns())
        .launch(plan.blocks(), 1, 1, LinearPlan.THREADS, plan.sharedBytes());
  }

  private void bitmap(
      Tensor out, Tensor x, Linear layer, Epilogue epilogue, Weight.Bitmap weight, int batch) {
    String kernel =
        "linear_bitmap_%s_%d"
            .formatted(LinearPlan.name(weight.values().dtype()), batch == 1 ? 1 : PASS_ROWS);
    start("linear_bitmap", kernel, out, x, layer, epilogue)
        .pointer(weight.bitmap())
        .pointer(weight.rowOffsets())
        .pointer(weight.values())
        .pointer(weight.scales().map(Tensor::address).orElse(0L))
        .pointer(weight.zeroPoints().map(Tensor::address).orElse(0L))
        .i32(weight.scales().filter(scales -> scales.dtype() == DType.BF16).isPresent() ? 1 : 0)
        .i64(layer.outputs())
        .i32(Math.toIntExact(layer.inputs()))
        .launch(Math.ceilDiv(layer.outputs(), BITMAP_THREADS / 32), 1, 1, BITMAP_THREADS, 0);
  }

  /** What the arguments of every kernel begin with. */
  private CudaKernel start(
      String module, String kernel, Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    return kernels
        .get(module, kernel)
        .pointer(out)
        .i64(out.rowStride())
        .pointer(x)
        .i64(x.rowStride())
        .pointer(layer.bias().map(Tensor::address).orElse(0L))
        .i32(Math.toIntExact(x.size(0)))
        .i32(epilogue == Epilogue.ADD ? 1 : 0);
  }
}
