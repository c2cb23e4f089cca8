package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.TestDevice.check;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUfunction;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Streams and events: what runs behind the caller, what orders it, and what is found missing. */
@Tag("cuda")
class EmulatedStreamTest {
  private static final int NON_BLOCKING = 1;
  private static final int COUNT = 64;

  private Emulator emulator;

  @BeforeEach
  void useTheCheckedEmulator() {
    emulator = CheckedEmulator.fresh();
  }

  @Test
  void streamRunsLaterThanTheCall() {
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr source = device.upload(new float[] {2});
      Pointer pinned = pinned(device, 1, 1);
      CUstream stream = stream(NON_BLOCKING);
      CUevent begin = event();
      CUevent end = event();
      check(JCudaDriver.cuEventRecord(begin, stream));
      check(JCudaDriver.cuMemcpyDtoHAsync(pinned, source, 4, stream));
      check(JCudaDriver.cuEventRecord(end, stream));

      assertThat(read(pinned, 0)).isEqualTo(1);
      assertThat(JCudaDriver.cuStreamQuery(stream)).isEqualTo(CUresult.CUDA_ERROR_NOT_READY);
      check(JCudaDriver.cuEventSynchronize(end));
      assertThat(read(pinned, 0)).isEqualTo(2);
      float[] milliseconds = {-1};
      check(JCudaDriver.cuEventElapsedTime(milliseconds, begin, end));
      assertThat(milliseconds[0]).isNotNegative();
    }
  }

  /** A copy from pinned memory reads it when its turn comes, not when it is asked for. */
  @Test
  void pinnedSourceIsReadLate() {
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr target = device.allocate(4);
      Pointer pinned = pinned(device, 1, 1);
      CUstream stream = stream(NON_BLOCKING);
      check(JCudaDriver.cuMemcpyHtoDAsync(target, pinned, 4, stream));
      bytes(pinned, 1).putFloat(0, 7);
      check(JCudaDriver.cuStreamSynchronize(stream));
      assertThat(device.downloadFloats(target, 1)).containsExactly(7);

      // Pageable memory is read before the call returns.
      float[] pageable = {3};
      check(JCudaDriver.cuMemcpyHtoDAsync(target, Pointer.to(pageable), 4, stream));
      pageable[0] = 4;
      check(JCudaDriver.cuStreamSynchronize(stream));
      assertThat(device.downloadFloats(target, 1)).containsExactly(3);
    }
  }

  /** The canary: a host that reads before it waits gets what was there before, every time. */
  @ParameterizedTest
  @ValueSource(strings = {"forward", "reverse", "random:1", "random:2"})
  void hostThatDoesNotWaitReadsWhatWasThere(String order) {
    emulator.setOrder(order);
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr sums = device.allocate(4);
      Pointer pinned = pinned(device, 1, -1);
      CUstream stream = stream(0);
      sum(device, sums, device.upload(ones()), stream);
      check(JCudaDriver.cuMemcpyDtoHAsync(pinned, sums, 4, stream));
      assertThat(read(pinned, 0)).isEqualTo(-1);
      check(JCudaDriver.cuStreamSynchronize(stream));
      assertThat(read(pinned, 0)).isEqualTo(COUNT);
    }
  }

  static List<List<String>> ordersAndTimings() {
    List<List<String>> all = new ArrayList<>();
    for (String order : List.of("forward", "reverse", "random:1")) {
      for (String timing : List.of("late", "random:1", "random:2", "random:3", "concurrent")) {
        all.add(List.of(order, timing));
      }
    }
    return all;
  }

  /**
   * The canary: a kernel reads what a copy, or another kernel, in another stream writes, and
   * nothing orders the two. Which comes first doesn't matter: it is found in either order.
   */
  @ParameterizedTest
  @MethodSource("ordersAndTimings")
  void missingEventBetweenStreamsIsCaught(List<String> orderAndTiming) {
    emulator.setOrder(orderAndTiming.get(0));
    emulator.setStreams(orderAndTiming.get(1));
    for (boolean copyWrites : new boolean[] {true, false}) {
      for (boolean firstStreamWrites : new boolean[] {true, false}) {
        emulator.clearReport();
        try (TestDevice device = new TestDevice()) {
          CUdeviceptr ones = device.upload(ones());
          CUdeviceptr between = device.upload(ones());
          for (boolean isFirst : new boolean[] {true, false}) {
            CUstream stream = stream(NON_BLOCKING);
            if (isFirst != firstStreamWrites) {
              sum(device, device.allocate(4), between, stream);
            } else if (copyWrites) {
              JCudaDriver.cuMemcpyDtoDAsync(between, ones, 4L * COUNT, stream);
            } else {
              sum(device, between, ones, stream);
            }
          }
          assertThat(CUresult.stringFor(JCudaDriver.cuCtxSynchronize()))
              .isEqualTo("CUDA_ERROR_LAUNCH_FAILED");
          assertThat(emulator.lastReport())
              .contains("race between streams", "block_sum_right")
              .contains("neither an event nor the host orders");
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("ordersAndTimings")
  void controlEventBetweenStreamsIsEnough(List<String> orderAndTiming) {
    emulator.setOrder(orderAndTiming.get(0));
    emulator.setStreams(orderAndTiming.get(1));
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr ones = device.upload(ones());
      CUdeviceptr between = device.allocate(4L * COUNT);
      CUdeviceptr out = device.allocate(4);
      CUstream first = stream(NON_BLOCKING);
      CUstream second = stream(NON_BLOCKING);
      CUevent copied = event();
      CUevent summed = event();
      for (int i = 1; i <= 3; i++) {
        check(JCudaDriver.cuMemcpyDtoDAsync(between, ones, 4L * COUNT, first));
        check(JCudaDriver.cuEventRecord(copied, first));
        check(JCudaDriver.cuStreamWaitEvent(second, copied, 0));
        sum(device, out, between, second);
        check(JCudaDriver.cuEventRecord(summed, second));
        check(JCudaDriver.cuStreamWaitEvent(first, summed, 0));
      }
      check(JCudaDriver.cuStreamSynchronize(second));
      assertThat(device.downloadFloats(out, 1)).containsExactly(COUNT);
      // The host orders too: it has waited for `second`, which came after `first`'s copies.
      check(JCudaDriver.cuMemcpyHtoD(between, Pointer.to(new float[COUNT]), 4L * COUNT));
    }
    assertThat(emulator.lastReport()).isEmpty();
  }

  /** Streams that aren't non-blocking are ordered by the default stream between them. */
  @ParameterizedTest
  @ValueSource(strings = {"late", "random:5", "random:6", "concurrent"})
  void defaultStreamOrdersBlockingStreams(String timing) {
    emulator.setStreams(timing);
    try (TestDevice device = new TestDevice()) {
      CUdeviceptr ones = device.upload(ones());
      CUdeviceptr between = device.allocate(4L * COUNT);
      CUdeviceptr copied = device.allocate(4L * COUNT);
      CUdeviceptr out = device.allocate(4);
      CUstream first = stream(0);
      CUstream second = stream(0);
      check(JCudaDriver.cuMemcpyDtoDAsync(between, ones, 4L * COUNT, first));
      check(JCudaDriver.cuMemcpyDtoDAsync(copied, between, 4L * COUNT, null));
      sum(device, out, copied, second);
      check(JCudaDriver.cuStreamSynchronize(second));
      assertThat(device.downloadFloats(out, 1)).containsExactly(COUNT);
    }
    assertThat(emulator.lastReport()).isEmpty();
  }

  @Test
  void functionsOfTheHostRunInTheirTurn() {
    try (TestDevice device = new TestDevice()) {
      Pointer pinned = pinned(device, 1, 1);
      CUdeviceptr source = device.upload(new float[] {2});
      CUstream stream = stream(NON_BLOCKING);
      List<Float> seen = new ArrayList<>();
      List<Integer> results = new ArrayList<>();
      check(JCudaDriver.cuLaunchHostFunc(stream, data -> seen.add(read(pinned, 0)), null));
      check(JCudaDriver.cuMemcpyDtoHAsync(pinned, source, 4, stream));
      check(
          JCudaDriver.cuLaunchHostFunc(
              stream,
              data -> {
                seen.add(read(pinned, 0));
                results.add(JCudaDriver.cuMemAlloc(new CUdeviceptr(), 4));
              },
              null));
      check(
          JCudaDriver.cuStreamAddCallback(
              stream, (where, status, data) -> results.add(status), null, 0));
      assertThat(seen).isEmpty();
      check(JCudaDriver.cuStreamSynchronize(stream));
      assertThat(seen).containsExactly(1f, 2f);
      // A function of the host's may not use the API.
      assertThat(results).containsExactly(CUresult.CUDA_ERROR_NOT_PERMITTED, 0);
    }
  }

  @Test
  void nothingRunsAfterAFault() {
    try (TestDevice device = new TestDevice()) {
      Pointer pinned = pinned(device, 1, 1);
      CUdeviceptr source = device.upload(new float[] {2});
      CUdeviceptr small = device.allocate(4);
      CUstream stream = stream(NON_BLOCKING);
      launch(device, "blocks_collide", 2, device.allocate(4L * COUNT), device.allocate(4), stream);
      check(JCudaDriver.cuMemcpyDtoHAsync(pinned, source, 4, stream));
      assertThat(JCudaDriver.cuStreamSynchronize(stream)).isNotZero();
      assertThat(read(pinned, 0)).isEqualTo(1);
      assertThat(JCudaDriver.cuMemcpyDtoH(Pointer.to(new float[1]), small, 4)).isNotZero();
    }
    assertThat(emulator.lastReport()).contains("kernel blocks_collide");
  }

  private static float[] ones() {
    float[] ones = new float[COUNT];
    Arrays.fill(ones, 1);
    return ones;
  }

  private static void sum(TestDevice device, CUdeviceptr out, CUdeviceptr in, CUstream stream) {
    launch(device, "block_sum_right", 1, out, in, stream);
  }

  private static void launch(
      TestDevice device, String kernel, int blocks, CUdeviceptr out, CUdeviceptr in, CUstream to) {
    CUfunction function = device.function("test/faults", kernel);
    Pointer arguments = Pointer.to(Pointer.to(out), Pointer.to(in));
    // In the modes that run commands early, an earlier one may have failed by now.
    JCudaDriver.cuLaunchKernel(function, blocks, 1, 1, COUNT, 1, 1, 0, to, arguments, null);
  }

  private static Pointer pinned(TestDevice device, int count, float value) {
    Pointer pointer = device.pinned(4L * count);
    for (int i = 0; i < count; i++) {
      bytes(pointer, count).putFloat(4 * i, value);
    }
    return pointer;
  }

  private static float read(Pointer pinned, int index) {
    return bytes(pinned, index + 1).getFloat(4 * index);
  }

  private static ByteBuffer bytes(Pointer pinned, int floats) {
    return pinned.getByteBuffer(0, 4L * floats).order(ByteOrder.nativeOrder());
  }

  private static CUstream stream(int flags) {
    CUstream stream = new CUstream();
    check(JCudaDriver.cuStreamCreate(stream, flags));
    return stream;
  }

  private static CUevent event() {
    CUevent event = new CUevent();
    check(JCudaDriver.cuEventCreate(event, 0));
    return event;
  }
}
