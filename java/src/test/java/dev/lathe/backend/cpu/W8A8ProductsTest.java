package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.W8A8Data;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** W8A8 on the CPU is what {@link ActivationFormat#INT8} says, to the bit, everywhere. */
final class W8A8ProductsTest {
  private static final Arena ARENA = Arena.ofShared();
  private final W8A8Data data = new W8A8Data(ARENA, new SplittableRandom(88));

  @BeforeAll
  static void needsTheLibrary() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
  }

  @AfterAll
  static void free() {
    ARENA.close();
  }

  static Stream<InstructionSet> sets() {
    return CpuLibrary.instructionSets().stream();
  }

  /** Few columns and many, odd ones, whole tiles of tokens and parts of one. */
  @ParameterizedTest
  @MethodSource("sets")
  void productsAreJavasToTheBit(InstructionSet set) {
    for (int cols : new int[] {1, 3, 4, 15, 16, 17, 31, 64, 100, 128, 129, 384, 1021}) {
      for (int tokens : new int[] {1, 2, 3, 4, 5, 8, 13}) {
        Weight.Int8 weight = data.weight(37, cols, tokens % 2 == 0 ? DType.BF16 : DType.F32);
        check(set, 1, weight, data.normal(tokens, cols));
      }
    }
  }

  /** What no cache holds is fetched ahead, and is divided among threads. */
  @ParameterizedTest
  @MethodSource("sets")
  void bigMatricesToo(InstructionSet set) {
    Weight.Int8 weight = data.weight(1048, 1100, DType.BF16);
    for (int tokens : new int[] {1, 4, 9}) {
      check(set, 2, weight, data.normal(tokens, 1100));
    }
    check(set, 2, data.weight(208, 128, DType.F32), data.normal(130, 128));
  }

  /** The largest sums that there are: 128 * 127 in each of the most columns. */
  @ParameterizedTest
  @MethodSource("sets")
  void nothingOverflows(InstructionSet set) {
    int cols = Math.toIntExact(ActivationFormat.MOST_COLUMNS);
    for (int code : new int[] {-128, 127}) {
      Tensor values = Tensor.of(ARENA.allocate(cols), DType.I8, 1, cols);
      values.memory().fill((byte) code);
      Tensor scales = Tensor.of(ARENA.allocateFrom(ValueLayout.JAVA_FLOAT, 1), DType.F32, 1, 1);
      Weight.Int8 weight = new Weight.Int8(values, scales, Optional.empty(), ActivationFormat.INT8);
      Tensor x = Tensor.of(ARENA.allocate(4L * cols, 4), DType.F32, 1, cols);
      for (int sign : new int[] {1, -1}) {
        for (int c = 0; c < cols; c++) {
          set(x, c, sign * 127f);
        }
        assertThat(product(set, 1, weight, x)).containsExactly((float) (sign * 127L * code * cols));
      }
    }
  }

  @Test
  void longerRowsAreRefused() {
    long cols = ActivationFormat.MOST_COLUMNS + 1;
    Tensor values = Tensor.of(ARENA.allocate(cols), DType.I8, 1, cols);
    Tensor scales = Tensor.of(ARENA.allocate(4, 4), DType.F32, 1, 1);
    Weight.Int8 weight = new Weight.Int8(values, scales, Optional.empty());
    assertThat(weight.takesInt8Activations()).isFalse();
    assertThatThrownBy(() -> weight.with(ActivationFormat.INT8))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("at most 131071 columns");
  }

  /** In blocks of 16 rows together, in others and beside other formats part by part. */
  @ParameterizedTest
  @MethodSource("sets")
  void stacksAreTheirParts(InstructionSet set) {
    int cols = 96;
    Weight w8a8 = data.weight(32, cols, DType.BF16);
    Weight odd = data.weight(7, cols, DType.BF16);
    Weight int8 = data.weight(48, cols, DType.F32).with(ActivationFormat.FLOAT);
    Weight dense = new Weight.Dense(data.normal(16, cols));
    for (List<Weight> parts :
        List.of(
            List.of(w8a8, data.weight(16, cols, DType.F32)),
            List.of(odd, w8a8),
            List.of(w8a8, int8),
            List.of(w8a8, dense),
            List.of(odd, int8, dense))) {
      Tensor x = data.normal(5, cols);
      float[] whole = product(set, 2, new Weight.Stacked(parts), x);
      List<float[]> alone = new ArrayList<>();
      parts.forEach(part -> alone.add(product(set, 1, part, x)));
      int width = whole.length / 5;
      for (int t = 0; t < 5; t++) {
        int at = t * width;
        for (float[] part : alone) {
          int rows = part.length / 5;
          assertThat(Arrays.copyOfRange(whole, at, at + rows))
              .isEqualTo(Arrays.copyOfRange(part, t * rows, (t + 1) * rows));
          at += rows;
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("sets")
  void biasAndResidualAreAddedInThisOrder(InstructionSet set) {
    Weight.Int8 weight = data.weight(37, 64, DType.F32);
    Tensor x = data.normal(3, 64);
    Tensor bias = data.normal(1, 37);
    Tensor before = data.normal(3, 37);
    float[] plain = product(set, 1, weight, x);
    float[] expected = new float[plain.length];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = at(before, i) + (plain[i] + at(bias, i % 37));
    }
    try (CpuBackend backend = CpuBackend.open(1, set);
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor out = memory.tensor(DType.F32, 3, 37);
      out.memory().copyFrom(before.memory().asSlice(0, out.bytes()));
      Linear layer = new Linear(backend.place(weight, memory), Optional.of(bias.reshape(37)));
      backend.linear(out, x, layer, Epilogue.ADD);
      backend.synchronize();
      assertThat(floats(out)).isEqualTo(expected);
    }
  }

  /** Zeros are zeros; below 1e-30 a step is as of that; what is not finite stays with its token. */
  @ParameterizedTest
  @MethodSource("sets")
  void oddActivations(InstructionSet set) {
    int cols = 70;
    Weight.Int8 weight = data.weight(20, cols, DType.F32);
    Tensor x = data.normal(9, cols);
    float[] clean = product(set, 1, weight, x);
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
          set(x, t * cols + c, finite && c % 3 == 0 ? 0 : odd[t]);
        }
      }
    }
    float[] out = product(set, 1, weight, x);
    assertThat(out).isEqualTo(W8A8Data.expected(weight, x));
    assertThat(Arrays.copyOfRange(out, 0, 20)).containsOnly(0);
    assertThat(Arrays.copyOfRange(out, 5 * 20, 7 * 20)).containsOnly(Float.NaN);
    assertThat(Arrays.copyOfRange(out, 8 * 20, 9 * 20))
        .isEqualTo(Arrays.copyOfRange(clean, 8 * 20, 9 * 20));
  }

  @ParameterizedTest
  @MethodSource("sets")
  void profilesHoldItAgainstTheRightRoof(InstructionSet set) {
    Weight.Int8 weight = data.weight(16, 16, DType.F32);
    Weight odd = new Weight.Stacked(List.of(weight, data.weight(3, 16, DType.F32)));
    Weight plain = weight.with(ActivationFormat.FLOAT);
    try (CpuBackend backend = CpuBackend.open(1, set);
        DeviceMemory memory = backend.allocateMemory()) {
      boolean bytes = set.multipliesBytes();
      Arithmetic expected = bytes ? Arithmetic.INT8 : Arithmetic.INT16;
      assertThat(backend.arithmetic(backend.place(weight, memory))).isEqualTo(expected);
      assertThat(backend.arithmetic(backend.place(odd, memory))).isEqualTo(expected);
      assertThat(backend.arithmetic(backend.place(plain, memory))).isEqualTo(Arithmetic.INT16);
      assertThat(CpuCeilings.measure(1, 1 << 20).int8Gops().isPresent())
          .isEqualTo(sets().anyMatch(InstructionSet::multipliesBytes));
    }
  }

  private static void check(InstructionSet set, int threads, Weight.Int8 weight, Tensor x) {
    assertThat(product(set, threads, weight, x))
        .as("%s, %s by %s", set, weight.values(), x)
        .isEqualTo(W8A8Data.expected(weight, x));
  }

  private static float[] product(InstructionSet set, int threads, Weight weight, Tensor x) {
    try (CpuBackend backend = CpuBackend.open(threads, set);
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor out = memory.tensor(DType.F32, x.size(0), weight.rows());
      backend.linear(out, x, Linear.of(backend.place(weight, memory)), Epilogue.STORE);
      backend.synchronize();
      return floats(out);
    }
  }

  private static float[] floats(Tensor tensor) {
    return tensor.memory().asSlice(0, tensor.bytes()).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  private static float at(Tensor tensor, int index) {
    return tensor.memory().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * index);
  }

  private static void set(Tensor tensor, int index, float value) {
    tensor.memory().set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * index, value);
  }
}
