package dev.lathe.backend.cuda;

import dev.lathe.tensor.Tensor;

/** Kernels that are wrong on purpose, for tests elsewhere that must see it. */
public final class WrongKernels {
  private WrongKernels() {}

  /** RMSNorm whose sum of squares stops one column early. */
  public static void rmsNorm(
      CudaBackend backend, Tensor out, Tensor x, Tensor weight, float epsilon) {
    backend
        .kernels()
        .get("test/faults", "rms_norm_without_last_column_f32")
        .pointer(out)
        .pointer(x)
        .pointer(weight)
        .i64(x.size(0))
        .i32(Math.toIntExact(x.size(1)))
        .f32(epsilon)
        .launch(3, 1, 1, 64, 0);
  }
}
