package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceRecord;
import dev.lathe.backend.DeviceRecorder;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.W8A8Data;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** W8A8 through the backend is what {@link ActivationFormat#INT8} says, to the bit. */
@Tag("cuda")
class CudaW8A8Test {
  private final Arena arena = Arena.ofShared();
  private final W8A8Data data = new W8A8Data(arena, new SplittableRandom(88));
  private CudaBackend backend;

  @BeforeEach
  void open() {
    backend = CudaBackend.open();
  }

  @AfterEach
  void close() {
    backend.close();
    arena.close();
  }

  /** Tiles small and large, whole and not; depths divided among blocks, and no multiples of 16. */
  @ParameterizedTest
  @CsvSource({
    "1, 37, 64", "1, 5, 1",
    "2, 37, 1021", "8, 70, 2048",
    "9, 64, 172", "33, 65, 128",
    "64, 37, 1040", "65, 129, 96",
    "130, 20, 77"
  })
  void productsAreTheDefinitionsToTheBit(int tokens, int rows, int cols) {
    for (DType scales : new DType[] {DType.BF16, DType.F32}) {
      Weight.Int8 weight = data.weight(rows, cols, scales);
      Tensor x = data.normal(tokens, cols);
      assertThat(product(weight, x)).isEqualTo(W8A8Data.expected(weight, x));
    }
  }

  @Test
  void biasAndResidualAreAddedInThisOrder() {
    for (int tokens : new int[] {3, 70}) {
      Weight.Int8 weight = data.weight(37, 64, DType.F32);
      Tensor x = data.normal(tokens, 64);
      Tensor bias = data.normal(1, 37).reshape(37);
      Tensor before = data.normal(tokens, 37);
      float[] expected = W8A8Data.expected(weight, x);
      for (int i = 0; i < expected.length; i++) {
        expected[i] = at(before, i) + (expected[i] + at(bias, i % 37));
      }
      assertThat(product(weight, x, Optional.of(bias), Optional.of(before))).isEqualTo(expected);
    }
  }

  /** Zeros are zeros; below 1e-30 a step is as of that; what is not finite stays with its token. */
  @Test
  void oddActivations() {
    int cols = 70;
    Weight.Int8 weight = data.weight(20, cols, DType.F32);
    Tensor x = data.normal(9, cols);
    float[] clean = product(weight, x);
    float[] odd = {
      0,
      1e-30f,
      1e-31f,
      Float.MIN_VALUE,
      Float.MAX_VALUE,
      Float.NaN,
      Float.POSITIVE_INFINITY,
      -Float.MAX_VALUE
    };
    for (int t = 0; t < odd.length; t++) {
      for (int c = 0; c < cols; c++) {
        boolean finite = Float.isFinite(odd[t]);
        if (finite || c == 66) {
          Floats.set(x.memory(), DType.F32, t * cols + c, finite && c % 3 == 0 ? 0 : odd[t]);
        }
      }
    }
    float[] out = product(weight, x);
    assertThat(out).isEqualTo(W8A8Data.expected(weight, x));
    assertThat(Arrays.copyOfRange(out, 0, 20)).containsOnly(0);
    assertThat(Arrays.copyOfRange(out, 5 * 20, 7 * 20)).containsOnly(Float.NaN);
    assertThat(Arrays.copyOfRange(out, 8 * 20, 9 * 20))
        .isEqualTo(Arrays.copyOfRange(clean, 8 * 20, 9 * 20));
  }

  /** Of one format, with scales of either type, one matrix; beside others part by part. */
  @Test
  void stacksAreTheirParts() {
    int cols = 96;
    Weight.Int8 first = data.weight(33, cols, DType.BF16);
    Weight.Int8 second = data.weight(16, cols, DType.F32);
    Weight.Int8 plain = data.weight(7, cols, DType.BF16).with(ActivationFormat.FLOAT);
    Tensor x = data.normal(5, cols);
    try (DeviceMemory memory = backend.allocateMemory()) {
      Weight.Int8 joined =
          (Weight.Int8) backend.place(new Weight.Stacked(List.of(first, second)), memory);
      assertThat(joined.activations()).isEqualTo(ActivationFormat.INT8);
      assertThat(joined.format()).isEqualTo("w8a8");
      assertThat(joined.scales().dtype()).isEqualTo(DType.F32);
      assertThat(joined.bytes()).isEqualTo(49L * (cols + 4));
      assertThat(backend.place(new Weight.Stacked(List.of(first, plain)), memory))
          .isInstanceOfSatisfying(
              Weight.Stacked.class,
              stack ->
                  assertThat(stack.parts()).extracting(Weight::format).contains("w8a8", "int8"));
    }
    for (List<Weight> parts :
        List.<List<Weight>>of(List.of(first, second), List.of(plain, first))) {
      float[] whole = product(new Weight.Stacked(parts), x);
      int width = whole.length / 5;
      int from = 0;
      for (Weight part : parts) {
        float[] alone = product(part, x);
        int rows = (int) part.rows();
        for (int t = 0; t < 5; t++) {
          int at = t * width + from;
          assertThat(Arrays.copyOfRange(whole, at, at + rows))
              .isEqualTo(Arrays.copyOfRange(alone, t * rows, (t + 1) * rows));
        }
        from += rows;
      }
    }
  }

  /** Whatever the rows, and in a profile under the roof of what they multiply with. */
  @Test
  void ownKernelsMultiplyOnInt8TensorCores() {
    Weight.Int8 weight = data.weight(37, 64, DType.F32);
    for (int tokens : new int[] {1, 9, 70}) {
      Tensor x = data.normal(tokens, 64);
      try (DeviceRecorder recorder = backend.newRecorder().orElseThrow()) {
        product(weight, x); // loads modules
        recorder.start(DeviceRecorder.Detail.LAUNCHES);
        product(weight, x);
        assertThat(recorder.stop().launches())
            .filteredOn(launch -> launch.kind() == DeviceRecord.Kind.KERNEL)
            .extracting(DeviceRecord.Launch::name, DeviceRecord.Launch::arithmetic)
            .containsExactly(
                tuple("quantize_rows_s8", Arithmetic.F32),
                tuple(
                    tokens > 64 ? "gemm_w8a8_tile" : "gemm_w8a8_small",
                    Arithmetic.INT8_TENSOR_CORES));
      }
    }
    assertThat(backend.dispatcher().decisions().values())
        .isNotEmpty()
        .allSatisfy(decision -> {
          assertThat(decision.choice()).isEqualTo(Dispatcher.Choice.OWN);
          assertThat(decision.precision()).isEqualTo(Dispatcher.Precision.INT8);
        });
  }

  /**
   * Codes, their scales and the sums of a divided depth lie in workspaces, which a larger x moves.
   */
  @Test
  void replayedProductsSurviveThatWorkspacesMove() {
    int cols = 2048;
    Weight.Int8 weight = data.weight(20, cols, DType.F32);
    Tensor large = data.normal(12, cols);
    try (DeviceMemory memory = backend.allocateMemory()) {
      Linear layer = Linear.of(backend.place(weight, memory));
      Tensor out = memory.tensor(DType.F32, 3, 20);
      Tensor placed = memory.tensor(DType.F32, 3, cols);
      for (int step = 1; step <= 8; step++) {
        Tensor x = data.normal(3, cols);
        backend.upload(x.memory(), placed);
        backend.replayable("w8a8", () -> backend.linear(out, placed, layer, Epilogue.STORE));
        if (step == 4) {
          assertThat(product(weight, large)).isEqualTo(W8A8Data.expected(weight, large));
        }
        assertThat(download(out)).as("step %d", step).isEqualTo(W8A8Data.expected(weight, x));
      }
      // Captured in steps 2 and, since the first graph was forgotten, 6; replayed in 3, 4, 7, 8.
      assertThat(backend.graphs().captures()).isEqualTo(2);
      assertThat(backend.graphs().replays()).isEqualTo(4);
    }
  }

  /** Activations as they are, with the same codes, are seen by the same comparison. */
  @Test
  void canaryW8A16IsSeen() {
    Weight.Int8 weight = data.weight(37, 64, DType.F32);
    Tensor x = data.normal(3, 64);
    float[] w8a16 = product(weight.with(ActivationFormat.FLOAT), x);
    assertThat(product(weight, x)).isNotEqualTo(w8a16);
    assertThatThrownBy(() -> assertThat(w8a16).isEqualTo(W8A8Data.expected(weight, x)))
        .isInstanceOf(AssertionError.class);
  }

  /** Kernels that take activations as they are refuse such a weight rather than multiply it. */
  @Test
  void otherKernelsRefuseIt() {
    DeviceLimits limits = new DeviceLimits(132, 232_448, 32, 1024, 90);
    Weight.Int8 weight = data.weight(37, 64, DType.F32);
    assertThat(LinearKernels.fuses(weight, 1)).isFalse();
    assertThat(LinearKernels.fuses(weight.with(ActivationFormat.FLOAT), 1)).isTrue();
    assertThatThrownBy(() -> LinearPlan.of(limits, weight, 1, false))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("W8A8");
    assertThatThrownBy(() -> TilePlan.of(limits, weight, 9))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("W8A8");
  }

  private float[] product(Weight weight, Tensor x) {
    return product(weight, x, Optional.empty(), Optional.empty());
  }

  /**
   * @param before what the product is added to
   */
  private float[] product(Weight weight, Tensor x, Optional<Tensor> bias, Optional<Tensor> before) {
    try (DeviceMemory memory = backend.allocateMemory()) {
      Tensor out = memory.tensor(DType.F32, x.size(0), weight.rows());
      before.ifPresent(host -> backend.upload(host.memory().asSlice(0, host.bytes()), out));
      Linear layer =
          new Linear(
              backend.place(weight, memory), bias.map(host -> backend.placeF32(host, memory)));
      Tensor placed = backend.placeF32(x, memory);
      backend.linear(out, placed, layer, before.isPresent() ? Epilogue.ADD : Epilogue.STORE);
      return download(out);
    }
  }

  private float[] download(Tensor device) {
    try (Arena own = Arena.ofConfined()) {
      MemorySegment host = own.allocate(device.bytes(), Float.BYTES);
      backend.download(device, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  private static float at(Tensor tensor, int index) {
    return Floats.get(tensor.memory(), DType.F32, index);
  }
}
