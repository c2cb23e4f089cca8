package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.Checks;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.RmsNorm;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;
import java.util.function.LongUnaryOperator;

/**
 * Linear layers by own kernels: up to 8 rows of x, and bitmaps of more, by linear_dense.cu,
 * linear_int8.cu and linear_bitmap.cu ({@link LinearPlan}); more rows by linear_tiles.cu and
 * linear_tiles_f32.cu ({@link TilePlan}). Geometry depends on shapes only, so that a captured step
 * can be replayed. W8A8 is {@link W8A8Linear}'s.
 */
final class LinearKernels {
  /** Rows that one pass over the weights multiplies. */
  static final int PASS_ROWS = 8;

  private static final int ROW_A_WARP_THREADS = 128;
  private static final int COMBINE_THREADS = 256;

  private final CudaKernels kernels;
  private final DeviceLimits limits;
  private final LongUnaryOperator workspace;

  /**
   * @param workspace gives the address of so many bytes on the device, which are used by one
   *     product and free again behind it; asked in the same way for the same shapes
   */
  LinearKernels(CudaKernels kernels, DeviceLimits limits, LongUnaryOperator workspace) {
    this.kernels = kernels;
    this.limits = limits;
    this.workspace = workspace;
  }

  /**
   * {@link dev.lathe.backend.Backend#linear}.
   *
   * @param out [tokens, outputs] and {@code x} [tokens, inputs], F32; rows may be strided
   * @param layer its weight in one of the formats, rows of dense and INT8 values may be strided; no
   *     stack, and not for INT8 activations
   */
  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    if (x.size(0) > PASS_ROWS && TilePlan.multiplies(layer.weight())) {
      tiles(TilePlan.of(limits, layer.weight(), x.size(0)), out, x, layer, epilogue);
      return;
    }
    for (long from = 0; from < x.size(0); from += PASS_ROWS) {
      long to = Math.min(from + PASS_ROWS, x.size(0));
      pass(out.rows(from, to), x.rows(from, to), layer, epilogue);
    }
  }

  /** Whether {@link #fused} takes a product with this weight. */
  static boolean fuses(Weight weight, long tokens) {
    return tokens <= PASS_ROWS
        && switch (weight) {
          case Weight.Dense _ -> true;
          case Weight.Int8 int8 -> !TokenQuantization.isFor(int8) && !LinearPlan.isRagged(int8);
          case Weight.Bitmap _, Weight.Stacked _ -> false;
        };
  }

  /**
   * The norm, the product and what {@code gate} is the activation of, in one kernel: to the bit
   * what they give one after another.
   *
   * @param out [tokens, outputs], with a gate [tokens, outputs / 2]; x [tokens, inputs], F32
   * @param layer with a weight that {@link #fuses}
   */
  void fused(Tensor out, Tensor x, RmsNorm norm, Linear layer, Optional<Activation> gate) {
    if (x.size(0) > 0) {
      planned(out, x, Optional.of(norm), layer, gate, Epilogue.STORE);
    }
  }

  /** 9 rows and more, as planned. */
  void tiles(TilePlan plan, Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    long floats = plan.partialFloats(x.size(0), layer.outputs());
    long partial = floats == 0 ? 0 : workspace.applyAsLong(floats * Float.BYTES);
    CudaKernel kernel = start(plan.module(), plan.kernel(), out, x, layer, epilogue);
    weight(kernel, layer.weight());
    if (plan.xRows() > 0) {
      kernel.i32(plan.xRows()).pointer(partial);
    }
    kernel.launch(plan.blocks(), plan.splits(), 1, plan.threads(), plan.sharedBytes());
    if (floats > 0) {
      start(plan.module(), "linear_tiles_combine", out, x, layer, epilogue)
          .pointer(partial)
          .i32(plan.splits())
          .i64(layer.outputs())
          .launch(
              Math.ceilDiv(layer.outputs(), COMBINE_THREADS),
              Math.toIntExact(x.size(0)),
              1,
              COMBINE_THREADS,
              0);
    }
  }

  private void pass(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    switch (layer.weight()) {
      case Weight.Int8 ragged when LinearPlan.isRagged(ragged) ->
          weight(start("linear_int8", "linear_int8_ragged", out, x, layer, epilogue), ragged)
              .launch(rowBlocks(layer), 1, 1, ROW_A_WARP_THREADS, 0);
      case Weight.Dense _, Weight.Int8 _ ->
          planned(out, x, Optional.empty(), layer, Optional.empty(), epilogue);
      case Weight.Bitmap bitmap -> bitmap(out, x, layer, epilogue, bitmap);
      case Weight.Stacked _ ->
          throw new IllegalArgumentException("a stack of matrices is multiplied part by part");
    }
  }

  private void planned(
      Tensor out,
      Tensor x,
      Optional<RmsNorm> norm,
      Linear layer,
      Optional<Activation> gate,
      Epilogue epilogue) {
    int tokens = Math.toIntExact(x.size(0));
    LinearPlan plan = LinearPlan.of(limits, layer.weight(), tokens, gate.isPresent());
    // As many threads as rms_norm.cu has for a row, so that its sum is made up in the same order.
    int normThreads = RowGeometry.ofNorm(limits, tokens, layer.inputs()).threadsOfARow();
    weight(start(plan.module(), plan.kernel(), out, x, layer, epilogue), layer.weight())
        .pointer(norm.map(n -> n.weight().address()).orElse(0L))
        .f32(norm.map(RmsNorm::epsilon).orElse(0f))
        .i32(normThreads)
        .i32(gate.map(RowKernels::number).orElse(-1))
        .i32(plan.warpsPerRow())
        .i32(plan.tileColumns())
        .launch(plan.blocks(), 1, 1, LinearPlan.THREADS, plan.sharedBytes());
  }

  private void bitmap(Tensor out, Tensor x, Linear layer, Epilogue epilogue, Weight.Bitmap weight) {
    String kernel =
        "linear_bitmap_%s_%d"
            .formatted(LinearPlan.name(weight.values().dtype()), x.size(0) == 1 ? 1 : PASS_ROWS);
    start("linear_bitmap", kernel, out, x, layer, epilogue)
        .pointer(weight.bitmap())
        .pointer(weight.rowOffsets())
        .pointer(weight.values())
        .pointer(weight.scales().map(Tensor::address).orElse(0L))
        .pointer(weight.zeroPoints().map(Tensor::address).orElse(0L))
        .i32(weight.scales().filter(scales -> scales.dtype() == DType.BF16).isPresent() ? 1 : 0)
        .i64(layer.outputs())
        .i32(Math.toIntExact(layer.inputs()))
        .launch(rowBlocks(layer), 1, 1, ROW_A_WARP_THREADS, 0);
  }

  /** Blocks where each warp has a row of the weight. */
  private static long rowBlocks(Linear layer) {
    return Math.ceilDiv(layer.outputs(), ROW_A_WARP_THREADS / 32);
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

  /** Dense or INT8 values, with their scales, and the weight's size. */
  private static CudaKernel weight(CudaKernel kernel, Weight weight) {
    switch (weight) {
      case Weight.Dense dense -> kernel.pointer(dense.values()).i64(dense.values().rowStride());
      case Weight.Int8 int8 ->
          kernel
              .pointer(int8.values())
              .i64(int8.values().rowStride())
              .pointer(int8.scales())
              .pointer(int8.zeroPoints().map(Tensor::address).orElse(0L))
              .i32(int8.scales().dtype() == DType.BF16 ? 1 : 0)
              .i32(Math.toIntExact(int8.scales().size(1)))
              .i32(Math.toIntExact(int8.groupSize()));
      default -> throw new IllegalArgumentException(weight.format());
    }
    return kernel.i64(weight.rows()).i32(Math.toIntExact(weight.cols()));
  }
}
