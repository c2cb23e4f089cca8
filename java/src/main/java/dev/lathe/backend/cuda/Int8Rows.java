package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;

/**
 * A matrix in INT8 on the device, with one scale a row: {@code codes[r, c] * scales[r]}.
 *
 * @param codes [rows, cols] I8, contiguous
 * @param scales [rows] or [rows, 1] F32, contiguous
 */
record Int8Rows(Tensor codes, Tensor scales) {
  Int8Rows {
    boolean fits =
        codes.dtype() == DType.I8
            && codes.rank() == 2
            && codes.isContiguous()
            && scales.dtype() == DType.F32
            && scales.isContiguous()
            && scales.elements() == codes.size(0);
    if (!fits) {
      throw new IllegalArgumentException(
          "INT8 %s scaled by %s: not rows with an F32 scale each".formatted(codes, scales));
    }
  }

  long rows() {
    return codes.size(0);
  }

  long cols() {
    return codes.size(1);
  }
}
