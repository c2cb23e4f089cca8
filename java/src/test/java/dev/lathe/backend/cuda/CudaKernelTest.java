package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import jcuda.Pointer;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Launches through {@link CudaKernel}, and what becomes of a kernel that does wrong. */
@Tag("cuda")
class CudaKernelTest {
  private static final int COLS = 64;

  @Test
  void launchesWithReusedArguments() {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context)) {
      CudaKernel norm = kernels.get("rms_norm", "rms_norm_warp_f32");
      assertThat(kernels.get("rms_norm", "rms_norm_warp_f32")).isSameAs(norm);
      for (float scale : new float[] {1, 2, 3}) {
        assertThat(norm(context, norm, scale)).containsOnly(scale);
      }
    }
  }

  /** Of ones, whose mean square is 1: what comes out is the weight. */
  private static float[] norm(CudaContext context, CudaKernel kernel, float weight) {
    float[] ones = new float[COLS];
    Arrays.fill(ones, 1);
    float[] weights = new float[COLS];
    Arrays.fill(weights, weight);
    DevicePointer x = upload(context, ones);
    DevicePointer w = upload(context, weights);
    DevicePointer out = upload(context, new float[COLS]);
    kernel
        .pointer(out.address())
        .pointer(x.address())
        .pointer(w.address())
        .i64(1)
        .i32(COLS)
        .f32(0)
        .launch(1, 1, 1, 32, 0);
    context.synchronize();
    float[] result = new float[COLS];
    context.check(JCudaDriver.cuMemcpyDtoH(Pointer.to(result), out, 4L * COLS), "cuMemcpyDtoH");
    for (DevicePointer pointer : new DevicePointer[] {x, w, out}) {
      context.check(JCudaDriver.cuMemFree(pointer), "cuMemFree");
    }
    return result;
  }

  @Test
  void anotherPlatformThreadMayTakeOver() throws InterruptedException, ExecutionException {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context);
        ExecutorService other = Executors.newSingleThreadExecutor()) {
      float[] result =
          other.submit(() -> norm(context, kernels.get("rms_norm", "rms_norm_warp_f32"), 5)).get();
      assertThat(result).containsOnly(5);
    }
  }

  @Test
  void virtualThreadIsRefused() throws InterruptedException {
    try (CudaContext context = CudaContext.open()) {
      AtomicReference<Throwable> thrown = new AtomicReference<>();
      Thread.ofVirtual()
          .name("worker 7")
          .start(() -> {
            try {
              context.synchronize();
            } catch (IllegalStateException e) {
              thrown.set(e);
            }
          })
          .join();
      assertThat(thrown.get()).hasMessageContaining("worker 7").hasMessageContaining("platform");
    }
  }

  @Test
  void argumentsOfTheHostAndImpossibleGeometryAreRefused() {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context);
        Arena arena = Arena.ofConfined()) {
      CudaKernel norm = kernels.get("rms_norm", "rms_norm_warp_f32");
      Tensor host = Tensor.of(arena.allocate(4), DType.F32, 1);
      assertThatThrownBy(() -> norm.pointer(host))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("rms_norm_warp_f32")
          .hasMessageContaining("F32[1]");
      assertThatThrownBy(() -> norm.launch(1L << 31, 1, 1, 32, 0))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("2147483648");
      int most = context.limits().sharedBytesPerBlock();
      assertThatThrownBy(() -> norm.launch(1, 1, 1, 32, most + 1))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("shared memory");
    }
  }

  @Test
  void largeSharedMemoryIsAskedFor() {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context)) {
      int most = context.limits().sharedBytesPerBlock();
      assertThat(most).isGreaterThan(DeviceLimits.DEFAULT_SHARED_BYTES);
      DevicePointer out = upload(context, new float[1]);
      kernels
          .get("rms_norm", "rms_norm_warp_f32")
          .pointer(out.address())
          .pointer(out.address())
          .pointer(out.address())
          .i64(0) // no rows: nothing is done
          .i32(1)
          .f32(0)
          .launch(1, 1, 1, 32, most);
      context.synchronize();
      context.check(JCudaDriver.cuMemFree(out), "cuMemFree");
    }
  }

  @Test
  void kernelOrModuleThatIsNotThereIsNamed() {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context)) {
      assertThatThrownBy(() -> kernels.get("rms_norm", "rms_nrom"))
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("rms_nrom")
          .hasMessageContaining("CUDA_ERROR_NOT_FOUND");
      assertThatThrownBy(() -> kernels.get("no_such_file", "kernel"))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("no_such_file");
    }
  }

  @Test
  void faultEndsTheRunWithTheKernelsName() {
    assumeTrue(
        CudaDriver.kind() == CudaDriver.Kind.EMULATED_CHECKED,
        "the wrong kernels are built for the emulated GPU only");
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context)) {
      DevicePointer values = upload(context, new float[100]);
      kernels
          .get("test/faults", "write_one_past")
          .pointer(values.address())
          .pointer(values.address())
          .i32(100)
          .launch(2, 1, 1, 64, 0);
      assertThatThrownBy(context::synchronize)
          .isInstanceOfSatisfying(
              LatheException.class, e -> assertThat(e.exitCode()).isEqualTo(LatheException.FAILED))
          .hasMessageContaining("cuStreamSynchronize")
          .hasMessageContaining("CUDA_ERROR_ILLEGAL_ADDRESS")
          .hasMessageContaining("the last kernel launched was write_one_past")
          .hasMessageContaining("thread (36,0,0)");
      assertThat(context.isLost()).isTrue();
      assertThatThrownBy(context::synchronize).isInstanceOf(LatheException.class);
    }
    try (CudaContext fresh = CudaContext.open();
        CudaKernels kernels = new CudaKernels(fresh)) {
      assertThat(norm(fresh, kernels.get("rms_norm", "rms_norm_warp_f32"), 4)).containsOnly(4);
    }
  }

  /** Arguments that were given before one was refused are none of the next launch. */
  @Test
  void refusedArgumentLeavesNothingBehind() {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context);
        Arena arena = Arena.ofConfined()) {
      Tensor host = Tensor.of(arena.allocate(4), DType.F32, 1);
      assertThatThrownBy(() -> kernels.get("rms_norm", "rms_norm_warp_f32").i64(7).pointer(host))
          .isInstanceOf(IllegalArgumentException.class);
      assertThat(norm(context, kernels.get("rms_norm", "rms_norm_warp_f32"), 6)).containsOnly(6);
    }
  }

  private static DevicePointer upload(CudaContext context, float[] values) {
    DevicePointer pointer = new DevicePointer();
    context.check(JCudaDriver.cuMemAlloc(pointer, 4L * values.length), "cuMemAlloc");
    context.check(
        JCudaDriver.cuMemcpyHtoD(pointer, Pointer.to(values), 4L * values.length), "cuMemcpyHtoD");
    return pointer;
  }
}
