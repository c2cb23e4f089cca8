package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the native kernels promise beyond the conformance suite. */
final class CpuBackendTest {
  private static final Arena ARENA = Arena.ofShared();
  private final SplittableRandom random = new SplittableRandom(11);

  @BeforeAll
  static void needsTheLibrary() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
  }

  @AfterAll
  static void free() {
    ARENA.close();
  }

  /** A token gets the same bits alone, in a batch and in a prompt, with one thread and with two. */
  @ParameterizedTest
  @CsvSource({
    "83, 1601", // more columns than a block of the prompt's kernel, and tails everywhere
    "176, 129" // whole blocks of rows, as small matrices are packed
  })
  void sumsDoNotDependOnTokensOrThreads(int rows, int cols) {
    int tokens = 133;
    Tensor x = normal(tokens, cols);
    for (InstructionSet set : CpuLibrary.instructionSets()) {
      for (Weight weight : weights(rows, cols)) {
        Tensor prompt = product(set, 2, weight, x);
        assertThat(bits(product(set, 1, weight, x)))
            .as("%s %s: threads", set, weight.format())
            .isEqualTo(bits(prompt));
        for (int batch : new int[] {1, 2, 5, 9, 13}) {
          Tensor out = product(set, 1, weight, x.rows(0, batch));
          assertThat(bits(out))
              .as("%s %s: %d tokens", set, weight.format(), batch)
              .isEqualTo(bits(prompt.rows(0, batch)));
        }
      }
    }
  }

  @Test
  void bigProductsAreDividedWithoutGaps() {
    Tensor x = normal(3, 512);
    Weight weight = new Weight.Dense(normal(5003, 512));
    Weight stacked = new Weight.Stacked(List.of(weight, new Weight.Dense(normal(17, 512)), weight));
    InstructionSet best = best();
    assertThat(bits(product(best, 2, stacked, x))).isEqualTo(bits(product(best, 1, stacked, x)));
    // Big matrices are fetched ahead and small ones are not: the same bits.
    Weight start = new Weight.Dense(((Weight.Dense) weight).values().rows(0, 100));
    for (int tokens = 1; tokens <= 3; tokens++) {
      Tensor whole = product(best, 1, weight, x.rows(0, tokens));
      Tensor part = product(best, 1, start, x.rows(0, tokens));
      for (int t = 0; t < tokens; t++) {
        assertThat(bits(whole.rows(t, t + 1).columns(0, 100))).isEqualTo(bits(part.rows(t, t + 1)));
      }
    }
  }

  @Test
  void aWrongKernelWouldBeSeen() {
    Tensor x = normal(2, 64);
    Tensor w = normal(4, 64);
    float[] right = bits(product(best(), 1, new Weight.Dense(w), x));
    long last = 63 * 4;
    w.memory().set(ValueLayout.JAVA_FLOAT, last, w.memory().get(ValueLayout.JAVA_FLOAT, last) + 1);
    assertThat(bits(product(best(), 1, new Weight.Dense(w), x))).isNotEqualTo(right);
  }

  @Test
  void instructionSetsThatAreMissingAreRefused() {
    for (InstructionSet set : InstructionSet.values()) {
      if (CpuLibrary.instructionSets().contains(set)) {
        try (CpuBackend backend = CpuBackend.open(1, set)) {
          assertThat(backend.instructionSet()).isEqualTo(set);
          assertThat(backend.device().features()).isEqualTo("native " + set);
        }
      } else {
        assertThatThrownBy(() -> CpuBackend.open(1, set).close())
            .isInstanceOf(BackendUnusableException.class)
            .hasMessageContaining(set.toString());
      }
    }
  }

  @Test
  void memoriesThatStayOpenAreCounted() {
    try (CpuBackend backend = CpuBackend.open(1)) {
      try (DeviceMemory memory = backend.allocateMemory()) {
        assertThat(backend.openMemories()).isEqualTo(1);
        backend.place(new Weight.Dense(normal(2, 3)), memory);
        assertThat(memory.bytes()).as("weights are multiplied where they lie").isZero();
        memory.tensor(DType.BF16, 5, 2);
        assertThat(memory.bytes()).isEqualTo(20);
        backend.place(
            new Weight.Int8(
                Tensor.of(ARENA.allocate(17 * 10), DType.I8, 17, 10),
                normal(17, 1),
                Optional.empty()),
            memory);
        assertThat(memory.bytes())
            .as("INT8 is copied: 32 rows of 12 columns and a scale")
            .isEqualTo(20 + 32 * 12 + 32 * 4);
      }
      assertThat(backend.openMemories()).isZero();
    }
  }

  @Test
  void whatOnlyTheDataTellsIsCheckedToo() {
    try (CpuBackend backend = CpuBackend.open(1)) {
      Tensor out = normal(2, 3);
      Tensor table = normal(4, 3);
      Tensor outside = integers(0, 4);
      assertThatThrownBy(() -> backend.embed(out, new Weight.Dense(table), outside))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("[1] is 4");
      assertThatThrownBy(() -> backend.gatherRows(out, table, integers(-1, 0)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("[0] is -1");
    }
  }

  @Test
  void aClosedBackendRefusesToWork() {
    CpuBackend backend = CpuBackend.open(2);
    backend.close();
    backend.close();
    Tensor x = normal(1, 4);
    assertThatThrownBy(() -> backend.rmsNorm(x, x, normal(4), 1e-5f))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("closed");
  }

  @Test
  void ceilingsAreMeasured() {
    CpuCeilings one = CpuCeilings.measure(1);
    // No machine that runs this reads less than a tenth of a GB/s or does less than a GFLOP/s.
    assertThat(one.readBandwidthGbs()).isBetween(0.1, 10_000.0);
    assertThat(one.peakGflops()).isBetween(1.0, 100_000.0);
  }

  /** A word crosses no processor in less than a nanosecond; one thread has nobody to ask. */
  @Test
  void threadsThatMeetAreMeasured() {
    assertThat(CpuCeilings.roundTripNanos(1)).isEmpty();
    CpuCeilings.roundTripNanos(3)
        .ifPresent(nanos -> assertThat(nanos).isBetween(2.0, 100_000_000.0));
  }

  private List<Weight> weights(int rows, int cols) {
    Tensor values = Tensor.of(ARENA.allocate((long) rows * cols), DType.I8, rows, cols);
    for (long i = 0; i < values.elements(); i++) {
      values.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-128, 128));
    }
    // 51 groups of 32 (the last of one column), and 2 groups of 801.
    return List.of(
        new Weight.Dense(normal(rows, cols)),
        new Weight.Dense(narrow(DType.BF16, rows, cols)),
        new Weight.Dense(narrow(DType.F16, rows, cols)),
        new Weight.Int8(values, normal(rows, 1), Optional.empty()),
        new Weight.Int8(values, normal(rows, 51), Optional.empty()),
        new Weight.Int8(values, normal(rows, 2), Optional.empty()),
        bitmap(rows, cols));
  }

  private Weight bitmap(int rows, int cols) {
    long width = Math.ceilDiv(cols, 8);
    Tensor bitmap = Tensor.of(ARENA.allocate(rows * width), DType.U8, rows, width);
    Tensor offsets = Tensor.of(ARENA.allocate((rows + 1) * 8L), DType.I64, rows + 1);
    long kept = 0;
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        if (random.nextBoolean()) {
          long at = r * width + c / 8;
          byte old = bitmap.memory().get(ValueLayout.JAVA_BYTE, at);
          bitmap.memory().set(ValueLayout.JAVA_BYTE, at, (byte) (old | 1 << (c % 8)));
          kept++;
        }
      }
      offsets.memory().setAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, r + 1, kept);
    }
    return new Weight.Bitmap(
        cols, bitmap, offsets, normal(kept), Optional.empty(), Optional.empty());
  }

  private static Tensor product(InstructionSet set, int threads, Weight weight, Tensor x) {
    Tensor out =
        Tensor.of(
            ARENA.allocate(x.size(0) * weight.rows() * 4, 64), DType.F32, x.size(0), weight.rows());
    try (CpuBackend backend = CpuBackend.open(threads, set);
        DeviceMemory memory = backend.allocateMemory()) {
      backend.linear(out, x, Linear.of(backend.place(weight, memory)), Epilogue.STORE);
    }
    return out;
  }

  private static InstructionSet best() {
    return CpuLibrary.instructionSets().stream().reduce((a, b) -> b).orElseThrow();
  }

  private static float[] bits(Tensor tensor) {
    return tensor.memory().asSlice(0, tensor.bytes()).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  private Tensor normal(long... shape) {
    return narrow(DType.F32, shape);
  }

  private Tensor narrow(DType dtype, long... shape) {
    long elements = Tensor.elements(shape);
    Tensor tensor = Tensor.of(ARENA.allocate(elements * dtype.bytes(), 64), dtype, shape);
    for (long i = 0; i < elements; i++) {
      Floats.set(tensor.memory(), dtype, i, (float) random.nextGaussian());
    }
    return tensor;
  }

  private static Tensor integers(int... values) {
    return Tensor.of(ARENA.allocateFrom(ValueLayout.JAVA_INT, values), DType.I32, values.length);
  }
}
