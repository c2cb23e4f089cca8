package dev.lathe.backend.cuda;

import static jcuda.driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The emulated GPU catches what it is there to catch: the kernels of cuda-kernels/test/faults.cu
 * are wrong on purpose, and each is found in every order of threads, with its kernel, block and
 * thread; the right ones beside them are not.
 */
@Tag("cuda")
class EmulatedDriverTest {
  private static final List<String> ORDERS =
      List.of("forward", "reverse", "random:1", "random:2", "random:3");
  private static final int THREADS = 64;

  private Emulator emulator;

  @BeforeEach
  void useTheCheckedEmulator() {
    emulator = CheckedEmulator.fresh();
  }

  /** Kernel, its result, and what its report must say besides kernel, block and thread. */
  static List<Arguments> faults() {
    record Fault(String kernel, int result, String report) {}
    List<Fault> faults =
        List.of(
            new Fault("missing_barrier", 719, "race in shared memory"),
            new Fault("missing_barrier_between", 719, "race in shared memory"),
            new Fault("missing_warp_barrier", 719, "race in shared memory"),
            new Fault("blocks_collide", 719, "race in global memory: write of 4 bytes"),
            new Fault("write_one_past", 700, "out-of-bounds write of 4 bytes"),
            new Fault("read_one_past", 700, "out-of-bounds read of 4 bytes"),
            new Fault(
                "shared_one_past", 700, "0 bytes past the end of an array in shared memory of 256"),
            new Fault(
                "dynamic_shared_one_past", 700, "past the end of the dynamic shared memory of 256"),
            new Fault("misaligned_vector", 716, "misaligned read of 16 bytes"),
            new Fault("uninitialized_shared", 719, "uninitialized read of 4 bytes"),
            new Fault("stage_refilled_early", 719, "race in shared memory"),
            new Fault("stage_trusted_to_stay", 719, "uninitialized read of 4 bytes"),
            new Fault(
                "stage_zeroed_late",
                719,
                "race with a cp.async of 16 bytes: its destination was written before"),
            new Fault(
                "copy_source_changed",
                719,
                "race with a cp.async of 16 bytes: its source was changed before"),
            new Fault("divergent_shuffle", 702, "deadlock"),
            new Fault("endless_recursion", 714, "stack overflow"));
    List<Arguments> cases = new ArrayList<>();
    for (Fault fault : faults) {
      for (String order : ORDERS) {
        cases.add(Arguments.of(fault.kernel(), order, fault.result(), fault.report()));
      }
    }
    return cases;
  }

  @ParameterizedTest(name = "{0}, {1}")
  @MethodSource("faults")
  void plantedFaultIsCaughtAndNamed(String kernel, String order, int result, String report) {
    emulator.setOrder(order);
    try (TestDevice device = new TestDevice()) {
      int actual = launch(device, kernel, 2);
      assertThat(emulator.lastReport())
          .contains("kernel " + kernel + ", block (")
          .contains(", thread (")
          .contains(report)
          .endsWith("[order " + order + "]");
      assertThat(CUresult.stringFor(actual)).isEqualTo(CUresult.stringFor(result));
    }
  }

  @Test
  void outOfBoundsWriteIsPlacedExactly() {
    try (TestDevice device = new TestDevice()) {
      launch(device, "write_one_past", 2);
    }
    // 100 floats: the first float past them belongs to thread 36 of block 1.
    assertThat(emulator.lastReport())
        .startsWith(
            "kernel write_one_past, block (1,0,0), thread (36,0,0): out-of-bounds write of 4 bytes")
        .contains("0 bytes past the end of the allocation of 400 bytes");
  }

  @ParameterizedTest
  @MethodSource("orders")
  void controlRightKernelsGiveNoReport(String order) {
    emulator.setOrder(order);
    try (TestDevice device = new TestDevice()) {
      for (String kernel :
          List.of("block_sum_right", "warp_barrier_right", "polling_right", "stage_right")) {
        assertThat(CUresult.stringFor(launch(device, kernel, 1))).isEqualTo("CUDA_SUCCESS");
      }
      for (String kernel : List.of("rms_norm_warp_f32", "rms_norm_block_f32")) {
        float[] ones = new float[9 * 100];
        Arrays.fill(ones, 1);
        CUdeviceptr x = device.upload(ones);
        int result =
            device.run(
                device.function("rms_norm", kernel),
                2,
                96,
                0,
                Pointer.to(x), // in place
                Pointer.to(x),
                Pointer.to(device.upload(ones)),
                Pointer.to(new long[] {9}),
                Pointer.to(new int[] {100}),
                Pointer.to(new float[] {0}));
        assertThat(CUresult.stringFor(result)).isEqualTo("CUDA_SUCCESS");
        assertThat(device.downloadFloats(x, ones.length)).containsExactly(ones);
      }
    }
    assertThat(emulator.lastReport()).isEmpty();
  }

  static List<String> orders() {
    return ORDERS;
  }

  @Test
  void pollingForWhatNeverComesEnds() {
    try (TestDevice device = new TestDevice()) {
      assertThat(launch(device, "endless_polling", 1)).isEqualTo(702);
    }
    assertThat(emulator.lastReport()).contains("kernel endless_polling", "deadlock", "polls with");
  }

  /** Static and dynamic shared memory share what a block may have, asked for or not. */
  @Test
  void staticSharedMemoryCountsBesideTheDynamicOne() {
    int staticBytes = 1024;
    for (int most : new int[] {48 << 10, 227 << 10}) {
      for (int over : new int[] {0, 16}) {
        emulator.clearReport();
        try (TestDevice device = new TestDevice()) {
          CUfunction function = device.function("test/faults", "static_beside_dynamic_shared");
          int bytes = most - staticBytes + over;
          if (bytes > 48 << 10) {
            JCudaDriver.cuFuncSetAttribute(
                function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
          }
          int result =
              device.run(
                  function,
                  1,
                  THREADS,
                  bytes,
                  Pointer.to(device.allocate(4L * THREADS)),
                  Pointer.to(device.upload(new float[THREADS])));
          assertThat(CUresult.stringFor(result))
              .as("%d of %d bytes", bytes, most)
              .isEqualTo(CUresult.stringFor(over == 0 ? 0 : 719));
          assertThat(emulator.lastReport()).contains(over == 0 ? "" : "shared memory exceeded");
        }
      }
    }
  }

  @Test
  void faultStaysUntilItsContextIsDestroyed() {
    try (TestDevice device = new TestDevice()) {
      launch(device, "write_one_past", 2);
      assertThat(JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4)).isEqualTo(700);
      assertThat(JCudaDriver.cuCtxSynchronize()).isEqualTo(700);
    }
    try (TestDevice device = new TestDevice()) {
      assertThat(launch(device, "block_sum_right", 1)).isZero();
    }
  }

  @Test
  void whatCantBeLaunchedOrLoadedIsRefused() {
    try (TestDevice device = new TestDevice()) {
      CUfunction function = device.function("test/faults", "block_sum_right");
      Pointer none = Pointer.to(new CUdeviceptr());
      assertThat(device.run(function, 1, 2048, 0, none, none)).isEqualTo(1);
      assertThat(device.run(function, 1, 32, 50_000, none, none)).isEqualTo(1);
      assertThat(JCudaDriver.cuModuleLoadData(new CUmodule(), new byte[64])).isEqualTo(200);
      CUdeviceptr four = device.allocate(4);
      assertThat(JCudaDriver.cuMemcpyHtoD(four, Pointer.to(new byte[5]), 5)).isEqualTo(1);
      // A function that isn't implemented says so, and doesn't end the JVM.
      assertThat(JCudaDriver.cuProfilerStart()).isEqualTo(801);
    }
  }

  private static int launch(TestDevice device, String kernel, int blocks) {
    int count = 100;
    boolean bounded = kernel.endsWith("_one_past") && !kernel.contains("shared");
    float[] ones = new float[bounded ? count : 1024];
    Arrays.fill(ones, 1);
    CUdeviceptr out = device.allocate(4L * ones.length);
    CUdeviceptr in = device.upload(ones);
    List<Pointer> arguments = new ArrayList<>(List.of(Pointer.to(out), Pointer.to(in)));
    if (bounded) {
      arguments.add(Pointer.to(new int[] {count}));
    }
    return device.run(
        device.function("test/faults", kernel),
        blocks,
        THREADS,
        kernel.startsWith("dynamic") ? 4 * THREADS : 0,
        arguments.toArray(Pointer[]::new));
  }
}
