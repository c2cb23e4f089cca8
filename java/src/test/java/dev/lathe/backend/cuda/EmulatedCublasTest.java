package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.function.ToIntFunction;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasPointerMode;
import jcuda.jcublas.cublasStatus;
import jcuda.runtime.cudaStream_t;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the emulated GPU's cuBLAS checks and refuses: where it stands in for more than sums. */
@Tag("cuda")
class EmulatedCublasTest {
  private static final int N = cublasOperation.CUBLAS_OP_N;
  private static final Pointer ONE = Pointer.to(new float[] {1});
  private static final Pointer ZERO = Pointer.to(new float[] {0});

  @BeforeEach
  void onTheEmulatedGpu() {
    assumeTrue(CudaDriver.kind().emulated(), "these are the checks of the emulated GPU's cuBLAS");
    assertThat(CublasLibrary.whyUnusable()).isEmpty();
  }

  /** What carrying out a call ends with: the driver's error, or the call's own status, negative. */
  private static int outcome(ToIntFunction<cublasHandle> call) {
    cublasHandle handle = new cublasHandle();
    assertThat(JCublas2.cublasCreate(handle)).isZero();
    int status = call.applyAsInt(handle);
    int result = status == 0 ? JCudaDriver.cuCtxSynchronize() : -status;
    JCublas2.cublasDestroy(handle);
    return result;
  }

  private static int sgemm(
      cublasHandle handle, int size, Pointer a, Pointer b, float beta, Pointer c) {
    return JCublas2.cublasSgemm(
        handle, N, N, size, size, size, ONE, a, size, b, size, pointer(beta), c, size);
  }

  private static Pointer pointer(float value) {
    return Pointer.to(new float[] {value});
  }

  @Test
  void operandThatLeavesItsAllocationIsNamed() {
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr a = device.upload(new float[16]);
      CUdeviceptr b = device.upload(new float[15]);
      CUdeviceptr c = device.allocate(64);
      assertThat(outcome(handle -> sgemm(handle, 4, a, b, 0, c)))
          .isEqualTo(CUresult.CUDA_ERROR_ILLEGAL_ADDRESS);
      assertThat(new Emulator().lastReport())
          .contains("cublasSgemm_v2, operand B, line 3: out-of-bounds access", "allocation of 60");
    }
  }

  @Test
  void inputThatNobodyHasWrittenIsNamed() {
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr a = device.allocate(64);
      CUdeviceptr c = device.allocate(64);
      assertThat(outcome(handle -> sgemm(handle, 4, a, a, 0, c)))
          .isEqualTo(CUresult.CUDA_ERROR_LAUNCH_FAILED);
      assertThat(new Emulator().lastReport()).contains("operand A, line 0: uninitialized read");
    }
  }

  /** C is read where beta isn't 0, and has to have been written then. */
  @Test
  void outputIsReadOnlyWhereItIsAddedTo() {
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr a = device.upload(new float[16]);
      CUdeviceptr c = device.allocate(64);
      assertThat(outcome(handle -> sgemm(handle, 4, a, a, 0, c))).isZero();
      CUdeviceptr fresh = device.allocate(64);
      assertThat(outcome(handle -> sgemm(handle, 4, a, a, 1, fresh)))
          .isEqualTo(CUresult.CUDA_ERROR_LAUNCH_FAILED);
      assertThat(new Emulator().lastReport()).contains("operand C");
    }
  }

  @Test
  void whatCublasRefusesIsRefused() {
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr p = device.upload(new float[16]);
      int invalid = -cublasStatus.CUBLAS_STATUS_INVALID_VALUE;
      int unsupported = -cublasStatus.CUBLAS_STATUS_NOT_SUPPORTED;
      assertThat(outcome(h -> JCublas2.cublasSgemm(h, N, N, 4, 1, 4, ONE, p, 3, p, 4, ZERO, p, 4)))
          .isEqualTo(invalid);
      assertThat(outcome(h -> JCublas2.cublasSgemm(h, N, N, -1, 1, 4, ONE, p, 4, p, 4, ZERO, p, 4)))
          .isEqualTo(invalid);
      // INT8 columns that don't begin at multiples of 4 bytes.
      int int8 = cudaDataType.CUDA_R_8I;
      int int32 = cudaDataType.CUDA_R_32I;
      int compute = cublasComputeType.CUBLAS_COMPUTE_32I;
      Pointer one = Pointer.to(new int[] {1});
      Pointer zero = Pointer.to(new int[] {0});
      assertThat(
              outcome(h ->
                  JCublas2.cublasGemmEx_new(
                      h, N, N, 5, 1, 4, one, p, int8, 5, p, int8, 4, zero, p, int32, 5, compute,
                      -1)))
          .isEqualTo(unsupported);
      // A function that isn't implemented says so, and doesn't end the JVM.
      assertThat(outcome(h -> JCublas2.cublasSscal(h, 4, ONE, p, 1))).isEqualTo(unsupported);
    }
    assertThat(JCublas2.cublasSetMathMode(new cublasHandle(), 0))
        .isEqualTo(cublasStatus.CUBLAS_STATUS_NOT_INITIALIZED);
  }

  /** The product waits for what was put into its stream before it, and nothing else does. */
  @Test
  void productsAreOrderedWithTheirStream() {
    try (TestDevice device = new TestDevice()) {
      CUstream stream = new CUstream();
      TestDevice.check(JCudaDriver.cuStreamCreate(stream, 1));
      CUdeviceptr a = device.upload(new float[] {1});
      CUdeviceptr alpha = device.upload(new float[] {2, 0});
      CUdeviceptr c = device.upload(new float[] {-1});
      cublasHandle handle = new cublasHandle();
      assertThat(JCublas2.cublasCreate(handle)).isZero();
      assertThat(JCublas2.cublasSetStream(handle, new cudaStream_t(stream))).isZero();
      assertThat(
              JCublas2.cublasSetPointerMode(handle, cublasPointerMode.CUBLAS_POINTER_MODE_DEVICE))
          .isZero();
      // alpha becomes 3 in the stream, before the product reads it.
      TestDevice.check(JCudaDriver.cuMemsetD32Async(alpha, Float.floatToIntBits(3), 1, stream));
      assertThat(
              JCublas2.cublasSgemm(
                  handle, N, N, 1, 1, 1, alpha, a, 1, a, 1, alpha.withByteOffset(4), c, 1))
          .isZero();
      TestDevice.check(JCudaDriver.cuStreamSynchronize(stream));
      assertThat(device.downloadFloats(c, 1)).containsExactly(3);
      assertThat(JCublas2.cublasDestroy(handle)).isZero();
      TestDevice.check(JCudaDriver.cuStreamDestroy(stream));
    }
  }
}
