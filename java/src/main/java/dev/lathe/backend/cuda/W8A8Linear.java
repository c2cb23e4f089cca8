package dev.lathe.backend.cuda;

import dev.lathe.backend.Checks;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.function.LongUnaryOperator;

/**
 * Linear layers with {@link dev.lathe.tensor.ActivationFormat#INT8}, for any number of rows: x is
 * quantized by token, then multiplied in integers. To the bit what the CPU's are.
 */
final class W8A8Linear {
  private final QuantizeKernels quantize;
  private final GemmW8A8 gemm;
  private final LongUnaryOperator sums;
  private final CudaWorkspace codes;
  private final CudaWorkspace scales;

  /**
   * @param sums as {@link LinearKernels} takes it, which may have the same
   * @param codes for x of one product
   * @param scales for its scales; beside the codes, not behind them, so that who writes beyond them
   *     is seen on the emulated GPU
   */
  W8A8Linear(
      CudaKernels kernels,
      DeviceLimits limits,
      LongUnaryOperator sums,
      CudaWorkspace codes,
      CudaWorkspace scales) {
    this.quantize = new QuantizeKernels(kernels, limits);
    this.gemm = new GemmW8A8(kernels, limits);
    this.sums = sums;
    this.codes = codes;
    this.scales = scales;
  }

  /**
   * {@link dev.lathe.backend.Backend#linear}.
   *
   * @param out [tokens, outputs] and {@code x} [tokens, inputs], F32; rows may be strided
   * @param layer its weight placed by {@link CudaWeights}, for INT8 activations
   */
  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    if (!TokenQuantization.isFor(layer.weight())) {
      throw new IllegalArgumentException(
          "%s is not multiplied by INT8 activations".formatted(layer.weight().format()));
    }
    Weight.Int8 weight = (Weight.Int8) layer.weight();
    long tokens = x.size(0);
    Int8Rows quantized =
        new Int8Rows(
            codes.tensor(DType.I8, tokens, layer.inputs()), scales.tensor(DType.F32, tokens));
    quantize.quantizeRows(quantized, x);
    long bytes = gemm.workspaceBytes(tokens, layer.outputs(), layer.inputs());
    gemm.multiply(
        out,
        quantized,
        new Int8Rows(weight.values(), weight.scales()),
        layer.bias(),
        epilogue,
        bytes == 0 ? 0 : sums.applyAsLong(bytes));
  }
}
