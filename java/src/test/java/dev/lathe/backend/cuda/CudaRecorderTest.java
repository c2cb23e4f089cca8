package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceRecord;
import dev.lathe.backend.DeviceRecord.Grid;
import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import dev.lathe.backend.DeviceRecord.Wait;
import dev.lathe.backend.DeviceRecorder;
import dev.lathe.backend.DeviceRecorder.Detail;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Which launches and waits a recording has, in which order; times only as far as they must be. */
@Tag("cuda")
class CudaRecorderTest {
  private CudaBackend backend;
  private DeviceMemory memory;
  private DeviceRecorder recorder;
  private Tensor x;

  @BeforeEach
  void open() {
    backend = CudaBackend.open(CudaOptions.ALL);
    memory = backend.allocateMemory();
    recorder = backend.newRecorder().orElseThrow();
    x = memory.tensor(DType.F32, 3, 32);
  }

  @AfterEach
  void close() {
    recorder.close();
    memory.close();
    backend.close();
  }

  private static void assertInOrder(DeviceRecord record, long from, long to) {
    long last = from - record.clockErrorNanos();
    for (Launch launch : record.launches()) {
      assertThat(launch.nanos()).as("%s", launch).isNotNegative();
      assertThat(launch.startNanos()).as("%s", launch).isGreaterThanOrEqualTo(last);
      last = launch.endNanos();
    }
    assertThat(last - record.clockErrorNanos()).isLessThanOrEqualTo(to);
    for (Wait wait : record.waits()) {
      assertThat(wait.nanos()).isNotNegative();
      assertThat(wait.startNanos()).isBetween(from, to);
    }
  }

  @Test
  void everyKernelIsRecordedInOrderWithItsGrid() {
    backend.scale(x, 2); // before: not recorded
    long from = System.nanoTime();
    recorder.start(Detail.LAUNCHES);
    assertThat(recorder.launches()).isZero();
    backend.scale(x, 2);
    assertThat(recorder.launches()).isEqualTo(1);
    backend.softCap(x, 3);
    backend.scale(x, 0.5f);
    DeviceRecord record = recorder.stop();
    long to = System.nanoTime();
    backend.scale(x, 2); // after: neither
    assertThat(record.launches())
        .extracting(Launch::kind, Launch::arithmetic)
        .containsOnly(tuple(Kind.KERNEL, Arithmetic.F32))
        .hasSize(3);
    List<Launch> launches = record.launches();
    assertThat(launches.get(0).name()).startsWith("scale").isEqualTo(launches.get(2).name());
    assertThat(launches.get(1).name()).startsWith("soft_cap");
    assertThat(launches.get(0).grid().x()).isPositive();
    assertThat(launches.get(0).grid().threads()).isPositive();
    assertThat(record.emptyNanos()).isNotNegative();
    assertThat(record.clockErrorNanos()).isNotNegative();
    assertInOrder(record, from, to);
  }

  @Test
  void recordingAgainStartsEmptyAndChangesNoResult() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(x.bytes(), 4);
      host.setAtIndex(java.lang.foreign.ValueLayout.JAVA_FLOAT, 0, 3);
      backend.upload(host, x);
      for (int i = 0; i < 3; i++) {
        recorder.start(Detail.LAUNCHES);
        backend.scale(x, 2);
        assertThat(recorder.stop().launches()).hasSize(1);
      }
      backend.download(x, host);
      assertThat(host.getAtIndex(java.lang.foreign.ValueLayout.JAVA_FLOAT, 0)).isEqualTo(24);
    }
  }

  @Test
  void copiesAndWaitsHaveTheirPlaces() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(x.bytes(), 4);
      recorder.start(Detail.LAUNCHES);
      backend.upload(host, x);
      backend.scale(x, 2);
      backend.download(x, host);
      backend.synchronize();
      DeviceRecord record = recorder.stop();
      assertThat(record.launches())
          .extracting(Launch::kind)
          .containsExactly(Kind.COPY, Kind.KERNEL, Kind.COPY);
      assertThat(record.launches().getFirst().name()).isEqualTo("upload");
      assertThat(record.launches().getLast().name()).isEqualTo("download");
      assertThat(record.launches().getLast().bytes()).isEqualTo(x.bytes());
      assertThat(record.launches().getLast().grid()).isEqualTo(Grid.UNKNOWN);
      // Each copy takes one of two buffers; the download waits besides, and then who asked for it.
      assertThat(record.waits())
          .extracting(Wait::where)
          .containsExactly(
              "copy buffer", "load a module", "copy buffer", "download", "synchronize");
    }
  }

  @Test
  void memoryThatIsAskedOfTheDriverIsAWait() {
    long large = 33L << 20; // has a block of its own
    recorder.start(Detail.LAUNCHES);
    try (DeviceMemory more = backend.allocateMemory()) {
      more.tensor(DType.U8, large);
    }
    DeviceRecord record = recorder.stop();
    assertThat(record.waits()).extracting(Wait::where).containsExactly("allocate", "free");
    assertThat(record.launches())
        .extracting(Launch::name, Launch::bytes)
        .containsExactly(tuple("clear", large));
  }

  @Test
  void replayedStepsAreOneLaunchAndWhatIsCapturedIsNone() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(x.bytes(), 4);
      Runnable step =
          () -> {
            backend.scale(x, 2);
            backend.softCap(x, 3);
          };
      recorder.start(Detail.STEPS);
      for (int i = 0; i < 4; i++) {
        backend.upload(host, x);
        backend.replayable("step", step);
      }
      backend.scale(x, 1);
      DeviceRecord record = recorder.stop();
      // The first time it runs as it is, the second it is captured. Copies are not recorded here.
      assertThat(record.launches())
          .extracting(Launch::kind)
          .containsExactly(
              Kind.KERNEL, Kind.KERNEL, Kind.CAPTURED, Kind.REPLAYED, Kind.REPLAYED, Kind.KERNEL);
      assertThat(record.waits())
          .extracting(Wait::where)
          .containsExactly(
              "copy buffer", "load a module", "copy buffer", "copy buffer", "copy buffer");
    }
  }

  @Test
  void aLibraryCallIsOneLaunchWithoutAGrid() {
    CublasLibrary.whyUnusable()
        .ifPresent(why -> assumeTrue(false, () -> "cuBLAS can't be used: " + why));
    Tensor many = memory.tensor(DType.F32, 80, 32);
    Tensor out = memory.tensor(DType.F32, 80, 16);
    for (DType type : new DType[] {DType.F32, DType.BF16}) {
      Linear layer = Linear.of(new Weight.Dense(memory.tensor(type, 16, 32)));
      backend.linear(out, many, layer, Epilogue.STORE); // workspaces grow
      recorder.start(Detail.LAUNCHES);
      backend.linear(out, many, layer, Epilogue.STORE);
      Launch call = recorder.stop().launches().getLast();
      assertThat(call.kind()).isEqualTo(Kind.LIBRARY);
      assertThat(call.name()).isEqualTo("cublasGemmEx");
      assertThat(call.grid()).isEqualTo(Grid.UNKNOWN);
      assertThat(call.arithmetic())
          .isEqualTo(type == DType.F32 ? Arithmetic.F32 : Arithmetic.BF16_TENSOR_CORES);
    }
  }

  @Test
  void aLaunchThatTheDriverRefusesIsNotRecorded() {
    CudaKernel kernel = backend.kernels().get("ceilings", "multiply_add");
    recorder.start(Detail.LAUNCHES);
    assertThatThrownBy(() -> kernel.pointer(x).f32(1).f32(0).i32(1).launch(1, 1, 1, 4096, 0))
        .isInstanceOf(LatheException.class)
        .hasMessageContaining("multiply_add");
    backend.scale(x, 2);
    assertThat(recorder.stop().launches())
        .singleElement()
        .satisfies(launch -> assertThat(launch.name()).startsWith("scale"));
  }

  @Test
  void oneRecordingAtATime() {
    assertThatThrownBy(recorder::stop).isInstanceOf(IllegalStateException.class);
    recorder.start(Detail.STEPS);
    assertThatThrownBy(() -> recorder.start(Detail.STEPS))
        .isInstanceOf(IllegalStateException.class);
    try (DeviceRecorder second = backend.newRecorder().orElseThrow()) {
      assertThatThrownBy(() -> second.start(Detail.STEPS))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("recorded already");
      backend.scale(x, 2);
      assertThat(recorder.stop().launches()).hasSize(1);
      second.start(Detail.STEPS);
    } // closed while it records
    recorder.start(Detail.STEPS);
    assertThat(recorder.stop().launches()).isEmpty();
  }
}
