package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.TestDevice.check;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Blocks of one grid: on all cores at once, waiting for each other, and faults in any of them. */
@Tag("cuda")
class EmulatedGridTest {
  private static final int CONTROL_BLOCKS = 40;

  private Emulator emulator;
  private TestDevice device;

  @BeforeEach
  void openDevice() {
    emulator = CheckedEmulator.fresh();
    device = new TestDevice();
  }

  @AfterEach
  void closeDevice() {
    if (device != null) {
      device.close();
    }
  }

  static List<String> orders() {
    return List.of("parallel", "forward", "reverse", "random:1", "random:2");
  }

  /** In reverse order the first block to begin is the last whose turn comes. */
  @ParameterizedTest
  @MethodSource("orders")
  void blocksThatWaitForOthersGetThere(String order) {
    emulator.setOrder(order);
    CUdeviceptr out = zeros(1);
    CUdeviceptr turn = zeros(1);
    check(run("blocks_in_turn", CONTROL_BLOCKS, 64, out, turn));
    assertThat(ints(out, 1)).containsExactly(CONTROL_BLOCKS * (CONTROL_BLOCKS - 1) / 2);
    assertThat(emulator.lastReport()).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("orders")
  void cooperativeGridMeetsAtItsBarrier(String order) {
    emulator.setOrder(order);
    CUdeviceptr out = zeros(CONTROL_BLOCKS);
    check(gridBarrier(out, CONTROL_BLOCKS, CONTROL_BLOCKS));
    int[] expected = new int[CONTROL_BLOCKS];
    Arrays.setAll(expected, i -> (i + 1) % CONTROL_BLOCKS + 1);
    assertThat(ints(out, CONTROL_BLOCKS)).containsExactly(expected);
    assertThat(emulator.lastReport()).isEmpty();
  }

  /** The canary: one block more is waited for than there are. */
  @ParameterizedTest
  @MethodSource("orders")
  void gridThatWaitsForNobodyIsADeadlock(String order) {
    emulator.setOrder(order);
    int result = gridBarrier(zeros(6), 6, 7);
    assertThat(CUresult.stringFor(result)).isEqualTo("CUDA_ERROR_LAUNCH_TIMEOUT");
    assertThat(emulator.lastReport())
        .startsWith("kernel grid_barrier, block (")
        .contains("deadlock: polls")
        .endsWith("[order " + order + "]");
  }

  /**
   * A grid that waits for itself has to fit on the device: 132 multiprocessors of 2,048 threads.
   */
  @Test
  void cooperativeGridThatDoesNotFitIsRefused() {
    CUdeviceptr out = zeros(265);
    assertThat(CUresult.stringFor(launchCooperative(out, 265, 265, 1024)))
        .isEqualTo("CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE");
  }

  @ParameterizedTest
  @MethodSource("orders")
  void everyAtomicAdditionCounts(String order) {
    emulator.setOrder(order);
    CUdeviceptr count = zeros(1);
    CUdeviceptr sum = zeros(1);
    check(run("count_threads", 64, 512, count, sum));
    assertThat(ints(count, 1)).containsExactly(64 * 512);
    assertThat(device.downloadFloats(sum, 1)).containsExactly(64 * 512);
  }

  /** With blocks on several cores a fault is found too, and named with its own block. */
  @ParameterizedTest
  @ValueSource(strings = {"missing_barrier", "blocks_collide", "uninitialized_shared"})
  void faultInOneOfManyBlocksIsNamed(String kernel) {
    emulator.setOrder("parallel");
    float[] ones = new float[64 * 64];
    Arrays.fill(ones, 1);
    int result = run(kernel, 64, 64, device.allocate(4 * 64 * 64), device.upload(ones));
    assertThat(CUresult.stringFor(result)).isEqualTo("CUDA_ERROR_LAUNCH_FAILED");
    assertThat(emulator.lastReport())
        .startsWith("kernel " + kernel + ", block (")
        .endsWith("[order parallel]");
  }

  @Test
  void variableOfAModuleIsFoundByName() {
    CUdeviceptr factors = new CUdeviceptr();
    long[] bytes = {0};
    check(device.global(factors, bytes, "test/faults", "fault_factors"));
    assertThat(bytes[0]).isEqualTo(8);
    assertThat(device.downloadFloats(factors, 2)).containsExactly(3, 4);
    check(JCudaDriver.cuMemcpyHtoD(factors, Pointer.to(new float[] {5, 6}), 8));
    CUdeviceptr out = device.allocate(8);
    check(run("read_variable", 1, 2, out));
    assertThat(device.downloadFloats(out, 2)).containsExactly(5, 6);
    assertThat(device.global(factors, bytes, "test/faults", "no_such_variable")).isEqualTo(500);
  }

  private int gridBarrier(CUdeviceptr out, int blocks, int waitedFor) {
    int launched = launchCooperative(out, blocks, waitedFor, 64);
    return launched != 0 ? launched : JCudaDriver.cuCtxSynchronize();
  }

  private int launchCooperative(CUdeviceptr out, int blocks, int waitedFor, int threads) {
    Pointer arguments =
        Pointer.to(
            Pointer.to(out),
            Pointer.to(zeros(1)),
            Pointer.to(zeros(blocks)),
            Pointer.to(new int[] {waitedFor}));
    CUfunction function = device.function("test/faults", "grid_barrier");
    return JCudaDriver.cuLaunchCooperativeKernel(
        function, blocks, 1, 1, threads, 1, 1, 0, null, arguments);
  }

  private int run(String kernel, int blocks, int threads, CUdeviceptr... arguments) {
    Pointer[] pointers = Arrays.stream(arguments).map(Pointer::to).toArray(Pointer[]::new);
    return device.run(device.function("test/faults", kernel), blocks, threads, 0, pointers);
  }

  private CUdeviceptr zeros(int count) {
    return device.upload(new float[count]);
  }

  private static int[] ints(CUdeviceptr pointer, int count) {
    int[] values = new int[count];
    check(JCudaDriver.cuMemcpyDtoH(Pointer.to(values), pointer, 4L * count));
    return values;
  }
}
