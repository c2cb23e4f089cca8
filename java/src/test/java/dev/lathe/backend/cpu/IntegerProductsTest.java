package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Products of INT8 weights, in integers: what the conformance suite's bounds leave open. An
 * activation of a block of 128 columns is {@code round(x 32767 / largest)} steps of {@code largest
 * / 32767}.
 */
final class IntegerProductsTest {
  private static final Arena ARENA = Arena.ofShared();
  private final SplittableRandom random = new SplittableRandom(29);

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

  /** The largest factors of one sign: 16 blocks of 128 products of 255 and 32767. */
  @ParameterizedTest
  @MethodSource("sets")
  void nothingOverflows(InstructionSet set) {
    int cols = 2048;
    Tensor x = filled(2, cols, 3);
    for (int zero : new int[] {127, -128}) {
      int value = zero > 0 ? -128 : 127;
      Weight weight = int8(bytes(17, cols, value), 1, Optional.of(bytes(17, 1, zero)));
      double expected = 3.0 * (value - zero) * cols;
      for (float actual : product(set, weight, x)) {
        assertThat((double) actual).isCloseTo(expected, within(expected));
      }
    }
  }

  /** Integer sums are exact, and what follows them is the same on all that fuse a multiply-add. */
  @ParameterizedTest
  @ValueSource(ints = {128, 64, 32, 1020})
  void instructionSetsAgreeToTheBit(int group) {
    int rows = 53;
    int cols = 1020; // whole groups but for the last
    Tensor values = randomBytes(rows, cols);
    Tensor x = normal(7, cols);
    Weight weight = int8(values, Math.ceilDiv(cols, group), Optional.empty());
    assertThat(
            sets()
                .filter(set -> set != InstructionSet.GENERIC)
                .map(set -> Arrays.hashCode(product(set, weight, x)))
                .distinct())
        .hasSizeLessThanOrEqualTo(1);
  }

  /** The rounding itself: what the kernels make is what Java's floats make, to the bit. */
  @ParameterizedTest
  @MethodSource("sets")
  void activationsAreRoundedAsDocumented(InstructionSet set) {
    for (int cols : new int[] {1, 4, 15, 16, 17, 64, 100, 127, 128}) {
      Tensor x = normal(5, cols);
      Tensor values = randomBytes(16, cols);
      float[] out = product(set, int8(values, 1, Optional.empty()), x);
      for (int t = 0; t < 5; t++) {
        float largest = 0;
        for (int c = 0; c < cols; c++) {
          largest = Math.max(largest, Math.abs(at(x, t, c)));
        }
        float inverse = 32767 / largest;
        float step = largest / 32767;
        for (int r = 0; r < 16; r++) {
          int sum = 0;
          for (int c = 0; c < cols; c++) {
            int rounded = (int) Math.rint(at(x, t, c) * inverse);
            sum += rounded * values.memory().get(ValueLayout.JAVA_BYTE, (long) r * cols + c);
          }
          assertThat(out[16 * t + r]).as("%d columns, [%d, %d]", cols, t, r).isEqualTo(sum * step);
        }
      }
    }
  }

  /**
   * What no cache holds is fetched ahead, and several tiles of tokens share that: the same bits.
   */
  @ParameterizedTest
  @MethodSource("sets")
  void bigMatricesAreMultipliedAsSmallOnes(InstructionSet set) {
    int rows = 1048;
    int cols = 1100;
    Tensor values = randomBytes(rows, cols);
    Tensor x = normal(11, cols);
    for (int tokens : new int[] {1, 3, 4, 5, 9, 11}) {
      float[] whole = product(set, int8(values, 1, Optional.empty()), x.rows(0, tokens));
      for (int from : new int[] {0, 496, 1008}) {
        Weight part = int8(values.rows(from, from + 40), 1, Optional.empty());
        float[] few = product(set, part, x.rows(0, tokens));
        for (int t = 0; t < tokens; t++) {
          assertThat(Arrays.copyOfRange(whole, t * rows + from, t * rows + from + 40))
              .as("%d tokens, rows from %d, token %d", tokens, from, t)
              .isEqualTo(Arrays.copyOfRange(few, 40 * t, 40 * t + 40));
        }
      }
    }
  }

  /** Stacks divided among threads: in a few ranges across the parts, and in a list of tasks. */
  @ParameterizedTest
  @ValueSource(ints = {1, 3, 9, 70, 300})
  void stacksAreDividedWithoutGaps(int tokens) {
    int cols = 260;
    Tensor x = normal(tokens, cols);
    List<Weight> parts =
        Stream.of(512, 48, 1008)
            .<Weight>map(rows -> int8(randomBytes(rows, cols), 1, Optional.empty()))
            .toList();
    Weight mixed =
        new Weight.Stacked(List.of(parts.get(0), new Weight.Dense(normal(64, cols)), parts.get(1)));
    for (Weight stack : List.of(new Weight.Stacked(parts), mixed)) {
      float[] expected = new float[Math.toIntExact(tokens * stack.rows())];
      int column = 0;
      for (Weight part : ((Weight.Stacked) stack).parts()) {
        float[] alone = product(best(), part, x);
        int rows = (int) part.rows();
        for (int t = 0; t < tokens; t++) {
          System.arraycopy(alone, t * rows, expected, t * (int) stack.rows() + column, rows);
        }
        column += rows;
      }
      for (int threads : new int[] {1, 2, 3}) {
        assertThat(product(best(), threads, stack, x)).isEqualTo(expected);
      }
    }
  }

  /** Integers of one segment can't serve parts of other groups: these are multiplied in F32. */
  @Test
  void partsWithOtherGroupsAreNotMultipliedInIntegers() {
    Weight rows = int8(randomBytes(32, 256), 1, Optional.empty());
    Weight groups = int8(randomBytes(32, 256), 4, Optional.empty());
    Weight oddGroups = int8(randomBytes(32, 256), 25, Optional.empty());
    try (CpuBackend backend = CpuBackend.open(1);
        DeviceMemory memory = backend.allocateMemory()) {
      assertThat(backend.arithmetic(backend.place(rows, memory))).isEqualTo(Arithmetic.INT16);
      assertThat(backend.arithmetic(backend.place(groups, memory))).isEqualTo(Arithmetic.INT16);
      assertThat(backend.arithmetic(backend.place(oddGroups, memory))).isEqualTo(Arithmetic.F32);
      Weight both = backend.place(new Weight.Stacked(List.of(rows, groups)), memory);
      assertThat(backend.arithmetic(both)).isEqualTo(Arithmetic.F32);
      Weight same = backend.place(new Weight.Stacked(List.of(groups, groups)), memory);
      assertThat(backend.arithmetic(same)).isEqualTo(Arithmetic.INT16);
      Weight dense = backend.place(new Weight.Dense(normal(32, 256)), memory);
      assertThat(backend.arithmetic(dense)).isEqualTo(Arithmetic.F32);
    }
    Tensor x = normal(3, 256);
    float[] stack = product(best(), new Weight.Stacked(List.of(rows, groups)), x);
    for (int part = 0; part < 2; part++) {
      float[] alone = product(best(), part == 0 ? rows : groups, x);
      for (int t = 0; t < 3; t++) {
        for (int r = 0; r < 32; r++) {
          // Sums of some thousands; half a step of 16 bits for each of 256 terms is far less than
          // 1.
          assertThat(stack[64 * t + 32 * part + r]).isCloseTo(alone[32 * t + r], Offset.offset(1f));
        }
      }
    }
  }

  /** A table is looked up, not multiplied, and not copied; it can be multiplied all the same. */
  @Test
  void tablesAreNotCopied() {
    Weight table = int8(randomBytes(32, 64), 1, Optional.empty());
    try (CpuBackend backend = CpuBackend.open(1);
        DeviceMemory memory = backend.allocateMemory()) {
      backend.placeTable(table, memory);
      assertThat(memory.bytes()).isZero();
      Tensor out = filled(1, 32, 0);
      backend.linear(out, filled(1, 64, 1), Linear.of(table), Epilogue.STORE);
      backend.synchronize();
      assertThat(out.memory().get(ValueLayout.JAVA_FLOAT, 0)).isNotEqualTo(0);
    }
  }

  /** What a model's keys and values are kept in. */
  @Test
  void quantizedModelsKeepTheirCacheInSixteenBits() {
    try (CpuBackend backend = CpuBackend.open(1)) {
      assertThat(backend.cacheType(DType.F32, false)).isEqualTo(DType.F32);
      assertThat(backend.cacheType(DType.F32, true)).isEqualTo(DType.BF16);
      assertThat(backend.cacheType(DType.F16, true)).isEqualTo(DType.F16);
      assertThat(backend.cacheType(DType.BF16, false)).isEqualTo(DType.BF16);
    }
    Weight int8 = int8(bytes(2, 2, 1), 1, Optional.empty());
    Weight dense = new Weight.Dense(filled(2, 2, 1));
    assertThat(int8.isQuantized()).isTrue();
    assertThat(dense.isQuantized()).isFalse();
    assertThat(new Weight.Stacked(List.of(dense, int8)).isQuantized()).isTrue();
    assertThat(new Weight.Stacked(List.of(dense, dense)).isQuantized()).isFalse();
  }

  @Test
  void theIntegersRoofIsMeasured() {
    CpuCeilings ceilings = CpuCeilings.measure(1, 1 << 20);
    assertThat(ceilings.int16Gops()).isBetween(0.5, 100_000.0);
  }

  /** What is not finite stays with its token. */
  @ParameterizedTest
  @MethodSource("sets")
  void oneTokensNaNsAreNoOthers(InstructionSet set) {
    int cols = 300;
    Weight weight = int8(bytes(20, cols, 5), 1, Optional.empty());
    float[] clean = product(set, weight, filled(6, cols, 1));
    for (float odd : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      Tensor x = filled(6, cols, 1);
      x.memory().set(ValueLayout.JAVA_FLOAT, 4L * (2 * cols + 130), odd);
      float[] out = product(set, weight, x);
      for (int i = 0; i < out.length; i++) {
        if (i / 20 == 2) {
          assertThat(out[i]).isNaN();
        } else {
          assertThat(out[i]).isEqualTo(clean[i]);
        }
      }
    }
  }

  /** Zeros are zeros; what is too small for a step of its own is rounded, and is a number. */
  @ParameterizedTest
  @MethodSource("sets")
  void smallActivations(InstructionSet set) {
    Weight weight = int8(bytes(16, 256, 100), 1, Optional.of(bytes(16, 1, -100)));
    assertThat(product(set, weight, filled(1, 256, 0))).containsOnly(0);
    for (float small : new float[] {1e-20f, 1e-30f, 1e-36f, Float.MIN_VALUE}) {
      double expected = 200.0 * 256 * small;
      for (float actual : product(set, weight, filled(1, 256, small))) {
        assertThat((double) actual)
            .isCloseTo(expected, Offset.offset(1e-6 * expected + 200.0 * 256 * 1e-30 / 65534));
      }
    }
  }

  /** Values beside a value that is much larger lose what is below its steps, no more. */
  @Test
  void anOutlierRoundsItsOwnBlockOnly() {
    Tensor x = filled(1, 256, 1e-3f);
    x.memory().set(ValueLayout.JAVA_FLOAT, 0, 1000f);
    Tensor values = bytes(16, 256, 0);
    for (int r = 0; r < 16; r++) {
      // Row 0 sees the block with the outlier, but not the outlier; row 1 the other block.
      for (int c = 0; c < 256; c++) {
        boolean seen = c != 0 && c / 128 == r % 2;
        values.memory().set(ValueLayout.JAVA_BYTE, r * 256L + c, (byte) (seen ? 1 : 0));
      }
    }
    for (InstructionSet set : CpuLibrary.instructionSets()) {
      float[] out = product(set, int8(values, 1, Optional.empty()), x);
      // A step is 1000 / 32767 = 0.03: 0.001 becomes 0.
      assertThat(out[0]).isEqualTo(0);
      assertThat((double) out[1]).isCloseTo(0.128, within(0.128));
    }
  }

  private static Offset<Double> within(double value) {
    return Offset.offset(Math.abs(value) * 1e-6);
  }

  private static Weight int8(Tensor values, int groups, Optional<Tensor> zeros) {
    return new Weight.Int8(values, filled((int) values.size(0), groups, 1), zeros);
  }

  private static Tensor bytes(int rows, int cols, int value) {
    Tensor tensor = Tensor.of(ARENA.allocate((long) rows * cols), DType.I8, rows, cols);
    tensor.memory().fill((byte) value);
    return tensor;
  }

  private static Tensor filled(int rows, int cols, float value) {
    Tensor tensor = Tensor.of(ARENA.allocate(4L * rows * cols, 64), DType.F32, rows, cols);
    for (long i = 0; i < tensor.elements(); i++) {
      tensor.memory().set(ValueLayout.JAVA_FLOAT, 4 * i, value);
    }
    return tensor;
  }

  private Tensor randomBytes(int rows, int cols) {
    Tensor values = bytes(rows, cols, 0);
    for (long i = 0; i < values.elements(); i++) {
      values.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-128, 128));
    }
    return values;
  }

  private Tensor normal(int rows, int cols) {
    Tensor x = filled(rows, cols, 0);
    for (long i = 0; i < x.elements(); i++) {
      x.memory().set(ValueLayout.JAVA_FLOAT, 4 * i, (float) random.nextGaussian());
    }
    return x;
  }

  private static float at(Tensor x, int row, int col) {
    return x.memory().get(ValueLayout.JAVA_FLOAT, 4 * (row * x.rowStride() + col));
  }

  private static InstructionSet best() {
    return sets().reduce((a, b) -> b).orElseThrow();
  }

  private static float[] product(InstructionSet set, Weight weight, Tensor x) {
    return product(set, 1, weight, x);
  }

  private static float[] product(InstructionSet set, int threads, Weight weight, Tensor x) {
    Tensor out = filled((int) x.size(0), (int) weight.rows(), 0);
    try (CpuBackend backend = CpuBackend.open(threads, set);
        DeviceMemory memory = backend.allocateMemory()) {
      backend.linear(out, x, Linear.of(backend.place(weight, memory)), Epilogue.STORE);
    }
    return out.memory().toArray(ValueLayout.JAVA_FLOAT);
  }
}
