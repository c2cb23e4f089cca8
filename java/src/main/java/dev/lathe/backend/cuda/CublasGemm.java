package dev.lathe.backend.cuda;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasMath;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasStatus;
import jcuda.runtime.cudaStream_t;

/**
 * {@code out = x W^T + b} by cuBLAS, for dense weights. F32 weights multiply in F32, without TF32;
 * BF16 and F16 weights on tensor cores, for which activations are rounded to their type; sums are
 * F32 throughout.
 */
final class CublasGemm implements AutoCloseable {
  private static final int THREADS = 256;
  private static final long MOST_BLOCKS = 1 << 16;
  private static final int HOPPER = 90;

  private final CudaContext context;
  private final CudaKernels kernels;
  private final CudaWorkspace rounded;
  private final CudaWorkspace parts;
  private final cublasHandle handle = new cublasHandle();

  /** For cuBLAS itself. */
  private final DevicePointer workspace = new DevicePointer();

  private final Pointer one = scalar(1);
  private final Pointer zero = scalar(0);

  /**
   * @param rounded for activations in the weight's type
   * @param parts for the products of both parts of activations
   * @throws LatheException if cuBLAS refuses
   */
  CublasGemm(CudaContext context, CudaKernels kernels, CudaWorkspace rounded, CudaWorkspace parts) {
    this.context = context;
    this.kernels = kernels;
    this.rounded = rounded;
    this.parts = parts;
    context.enter();
    JCublas2.setExceptionsEnabled(false);
    check(JCublas2.cublasCreate(handle), "cublasCreate");
    check(JCublas2.cublasSetStream(handle, new cudaStream_t(context.stream())), "cublasSetStream");
    // In a capture cuBLAS would otherwise make the graph allocate memory of its own. Setting the
    // stream takes a workspace away, so it comes after. The size is what cuBLAS's manual says.
    long bytes = context.limits().computeCapability() >= HOPPER ? 32L << 20 : 4L << 20;
    context.check(JCudaDriver.cuMemAlloc(workspace, bytes), "cuMemAlloc for cuBLAS");
    check(JCublas2.cublasSetWorkspace(handle, workspace, bytes), "cublasSetWorkspace");
    // Without it, sums of parts may be rounded to 16 bits on their way.
    check(
        JCublas2.cublasSetMathMode(
            handle, cublasMath.CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION),
        "cublasSetMathMode");
  }

  private static Pointer scalar(float value) {
    ByteBuffer memory = ByteBuffer.allocateDirect(Float.BYTES).order(ByteOrder.nativeOrder());
    return Pointer.to(memory.putFloat(0, value));
  }

  private void check(int status, String call) {
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      throw new LatheException(
          LatheException.FAILED,
          "CUDA failed: %s answered %s".formatted(call, cublasStatus.stringFor(status)));
    }
  }

  /**
   * @param out, x rows may be strided
   * @param layer with a dense weight
   */
  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    context.enter();
    Tensor weight = ((Weight.Dense) layer.weight()).values();
    boolean add = epilogue == Epilogue.ADD;
    layer.bias().ifPresent(bias -> addBias(out, bias, add));
    Pointer beta = add || layer.bias().isPresent() ? one : zero;
    if (weight.dtype() == DType.F32) {
      multiply(out, weight, x.address(), x.rowStride(), beta, cudaDataType.CUDA_R_32F);
    } else {
      multiply(out, weight, round(x, weight.dtype()), x.size(1), beta, type(weight.dtype()));
    }
  }

  /**
   * The same with two BF16 for each activation, the second what the first leaves of it. Both are
   * rows of one product, so that the weights are read once.
   *
   * @param layer with a BF16 weight
   */
  void linearInTwoParts(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    context.enter();
    Tensor weight = ((Weight.Dense) layer.weight()).values();
    if (weight.dtype() != DType.BF16) {
      throw new IllegalArgumentException(weight + " is not BF16");
    }
    long rows = x.size(0);
    int inputs = Math.toIntExact(x.size(1));
    Tensor split = rounded.tensor(DType.BF16, 2 * rows, inputs);
    kernels
        .get("dense_support", "split_rows_bf16")
        .pointer(split)
        .pointer(x)
        .i64(rows)
        .i32(inputs)
        .i64(x.rowStride())
        .launch(blocks(rows * Math.ceilDiv(inputs, 4L)), 1, 1, THREADS, 0);
    Tensor products = parts.tensor(DType.F32, 2 * rows, out.size(1));
    multiply(products, weight, split.address(), inputs, zero, cudaDataType.CUDA_R_16BF);
    kernels
        .get("dense_support", "add_parts")
        .pointer(out)
        .pointer(products)
        .pointer(layer.bias().map(Tensor::address).orElse(0L))
        .i64(rows)
        .i32(Math.toIntExact(out.size(1)))
        .i64(out.rowStride())
        .i32(epilogue == Epilogue.ADD ? 1 : 0)
        .launch(blocks(out.size(1)), (int) Math.min(rows, DeviceLimits.MAX_GRID_YZ), 1, THREADS, 0);
  }

  private static int type(DType dtype) {
    return dtype == DType.BF16 ? cudaDataType.CUDA_R_16BF : cudaDataType.CUDA_R_16F;
  }

  private static Arithmetic arithmetic(int type) {
    return type == cudaDataType.CUDA_R_32F ? Arithmetic.F32 : Arithmetic.BF16_TENSOR_CORES;
  }

  /** cuBLAS counts columns first: out^T = W x^T, and W^T is what it takes a row-major W for. */
  private void multiply(Tensor out, Tensor weight, long x, long xStride, Pointer beta, int type) {
    LaunchListener listener = context.listener();
    listener.before(Kind.LIBRARY, "cublasGemmEx", arithmetic(type), 0);
    int status =
        JCublas2.cublasGemmEx_new(
            handle,
            cublasOperation.CUBLAS_OP_T,
            cublasOperation.CUBLAS_OP_N,
            Math.toIntExact(out.size(1)),
            Math.toIntExact(out.size(0)),
            Math.toIntExact(weight.size(1)),
            one,
            new DevicePointer(weight.address()),
            type,
            Math.toIntExact(weight.rowStride()),
            new DevicePointer(x),
            type,
            Math.toIntExact(xStride),
            beta,
            new DevicePointer(out.address()),
            cudaDataType.CUDA_R_32F,
            Math.toIntExact(out.rowStride()),
            cublasComputeType.CUBLAS_COMPUTE_32F,
            cublasGemmAlgo.CUBLAS_GEMM_DEFAULT);
    check(status, "cublasGemmEx of " + weight + " with " + out.size(0) + " rows");
    listener.after();
    context.launched("cublasGemmEx");
  }

  private long round(Tensor x, DType dtype) {
    Tensor to = rounded.tensor(dtype, x.shape());
    kernels
        .get("dense_support", dtype == DType.BF16 ? "convert_rows_bf16" : "convert_rows_f16")
        .pointer(to)
        .pointer(x)
        .i64(x.size(0))
        .i32(Math.toIntExact(x.size(1)))
        .i64(x.rowStride())
        .launch(blocks(x.size(0) * Math.ceilDiv(x.size(1), 4L)), 1, 1, THREADS, 0);
    return to.address();
  }

  private void addBias(Tensor out, Tensor bias, boolean add) {
    kernels
        .get("dense_support", "bias_rows")
        .pointer(out)
        .pointer(bias)
        .i64(out.size(0))
        .i32(Math.toIntExact(out.size(1)))
        .i64(out.rowStride())
        .i32(add ? 1 : 0)
        .launch(blocks(out.elements()), 1, 1, THREADS, 0);
  }

  private static long blocks(long items) {
    return Math.min(MOST_BLOCKS, Math.max(1, Math.ceilDiv(items, THREADS)));
  }

  @Override
  public void close() {
    context.enter();
    int status = JCublas2.cublasDestroy(handle);
    if (!context.isLost()) {
      check(status, "cublasDestroy");
    }
    context.release(JCudaDriver.cuMemFree(workspace), "cuMemFree for cuBLAS");
  }
}
