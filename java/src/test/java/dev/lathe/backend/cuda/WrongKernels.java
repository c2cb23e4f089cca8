package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.Linear;
import dev.lathe.backend.RmsNorm;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;

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

  /**
   * A norm, a product with F32 weights and a gate in one kernel, with a mistake.
   *
   * @param defect by its number in cuda-kernels/test/linear_faults.cu; 0: none
   */
  public static void normLinearGate(
      CudaBackend backend,
      Tensor out,
      Tensor x,
      RmsNorm norm,
      Linear layer,
      Activation activation,
      int defect) {
    backend
        .kernels()
        .get("test/linear_faults", "norm_linear_gate_with_defect")
        .pointer(out)
        .pointer(x)
        .pointer(norm.weight())
        .f32(norm.epsilon())
        .pointer(((Weight.Dense) layer.weight()).values())
        .pointer(layer.bias().map(Tensor::address).orElse(0L))
        .i32(Math.toIntExact(x.size(0)))
        .i32(Math.toIntExact(out.size(1)))
        .i32(Math.toIntExact(layer.inputs()))
        .i32(RowKernels.number(activation))
        .i32(defect)
        .launch(1, 1, 1, 64, 0);
  }
}
