package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;

/**
 * Which kernels multiply on tensor cores, so that they are held against the right ceiling. {@code
 * TensorCoreInstructionsTest} holds this table against the machine code.
 */
final class KernelArithmetic {
  private KernelArithmetic() {}

  /** What a kernel multiplies with; F32 also for those that only copy or add. */
  static Arithmetic of(String module, String kernel) {
    return switch (module) {
      case "linear_tiles",
          "paged_attention_decode",
          "paged_attention_decode_int8",
          "paged_attention_prefill",
          "paged_attention_prefill_int8" ->
          Arithmetic.BF16_TENSOR_CORES;
      case "gemm_w8a8" ->
          kernel.equals("gemm_w8a8_combine") ? Arithmetic.F32 : Arithmetic.INT8_TENSOR_CORES;
      case "sparse24" -> sparse(kernel);
      case "ceilings" ->
          switch (kernel) {
            case "mma_bf16" -> Arithmetic.BF16_TENSOR_CORES;
            case "mma_s8" -> Arithmetic.INT8_TENSOR_CORES;
            default -> Arithmetic.F32;
          };
      default -> Arithmetic.F32;
    };
  }

  private static Arithmetic sparse(String kernel) {
    if (!kernel.startsWith("sparse24_gemm_")) {
      return Arithmetic.F32;
    }
    return kernel.endsWith("_s8") ? Arithmetic.INT8_TENSOR_CORES : Arithmetic.BF16_TENSOR_CORES;
  }
}
