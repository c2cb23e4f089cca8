package dev.lathe.backend.cuda;

import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasStatus;
import jcuda.runtime.cudaStream_t;

/**
 * cuBLAS as a vendor's column: BF16 into BF16, or INT8 into INT32, x [tokens, inputs] by W
 * [outputs, inputs] transposed. It has a workspace of its own, of the size that its manual names
 * for Hopper, since it would allocate memory in a graph otherwise.
 */
final class BenchGemm implements AutoCloseable {
  private static final long WORKSPACE_BYTES = 32L << 20;

  private final CudaBench bench;
  private final cublasHandle handle = new cublasHandle();

  /** cuBLAS reads these while it is called; direct buffers, so that no call copies an array. */
  private final Pointer[] one = {scalar(1f), scalar(1)};

  private final Pointer[] zero = {scalar(0f), scalar(0)};

  /**
   * @throws LatheException if cuBLAS can't be used here
   */
  BenchGemm(CudaBench bench) {
    this.bench = bench;
    JCublas2.setExceptionsEnabled(false);
    check(JCublas2.cublasCreate(handle), "cublasCreate");
    check(
        JCublas2.cublasSetStream(handle, new cudaStream_t(bench.context.stream())),
        "cublasSetStream");
    // Setting the stream takes a workspace away, so this comes after.
    long address = bench.device(DType.U8, WORKSPACE_BYTES).address();
    check(
        JCublas2.cublasSetWorkspace(handle, new DevicePointer(address), WORKSPACE_BYTES),
        "cublasSetWorkspace");
  }

  private static Pointer scalar(float value) {
    return Pointer.to(direct().putFloat(0, value));
  }

  private static Pointer scalar(int value) {
    return Pointer.to(direct().putInt(0, value));
  }

  private static ByteBuffer direct() {
    return ByteBuffer.allocateDirect(4).order(ByteOrder.nativeOrder());
  }

  static DType result(DType type) {
    return type == DType.I8 ? DType.I32 : DType.BF16;
  }

  /**
   * @param out [tokens, outputs] of {@link #result}
   * @param x [tokens, inputs], w [outputs, inputs], both BF16 or both I8
   */
  void multiply(Tensor out, Tensor x, Tensor w) {
    boolean integer = x.dtype() == DType.I8;
    int in = integer ? cudaDataType.CUDA_R_8I : cudaDataType.CUDA_R_16BF;
    int to = integer ? cudaDataType.CUDA_R_32I : cudaDataType.CUDA_R_16BF;
    int inputs = Math.toIntExact(x.size(1));
    int outputs = Math.toIntExact(w.size(0));
    check(
        JCublas2.cublasGemmEx_new(
            handle,
            cublasOperation.CUBLAS_OP_T,
            cublasOperation.CUBLAS_OP_N,
            outputs,
            Math.toIntExact(x.size(0)),
            inputs,
            one[integer ? 1 : 0],
            new DevicePointer(w.address()),
            in,
            inputs,
            new DevicePointer(x.address()),
            in,
            inputs,
            zero[integer ? 1 : 0],
            new DevicePointer(out.address()),
            to,
            outputs,
            integer ? cublasComputeType.CUBLAS_COMPUTE_32I : cublasComputeType.CUBLAS_COMPUTE_32F,
            cublasGemmAlgo.CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx of " + x + " by " + w);
  }

  private static void check(int status, String call) {
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      throw new LatheException(
          LatheException.FAILED, call + " answered " + cublasStatus.stringFor(status));
    }
  }

  @Override
  public void close() {
    int status = JCublas2.cublasDestroy(handle);
    if (!bench.context.isLost()) {
      check(status, "cublasDestroy");
    }
  }
}
