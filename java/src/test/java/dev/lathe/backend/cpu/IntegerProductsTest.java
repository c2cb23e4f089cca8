package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
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
    Tensor values = bytes(rows, cols, 0);
    for (long i = 0; i < values.elements(); i++) {
      values.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-128, 128));
    }
    Tensor x = filled(7, cols, 0);
    for (long i = 0; i < x.elements(); i++) {
      x.memory().set(ValueLayout.JAVA_FLOAT, 4 * i, (float) random.nextGaussian());
    }
    Weight weight = int8(values, Math.ceilDiv(cols, group), Optional.empty());
    assertThat(
            sets()
                .filter(set -> set != InstructionSet.GENERIC)
                .map(set -> Arrays.hashCode(product(set, weight, x)))
                .distinct())
        .hasSizeLessThanOrEqualTo(1);
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

  private static float[] product(InstructionSet set, Weight weight, Tensor x) {
    Tensor out = filled((int) x.size(0), (int) weight.rows(), 0);
    try (CpuBackend backend = CpuBackend.open(1, set);
        DeviceMemory memory = backend.allocateMemory()) {
      backend.linear(out, x, Linear.of(backend.place(weight, memory)), Epilogue.STORE);
    }
    return out.memory().toArray(ValueLayout.JAVA_FLOAT);
  }
}
