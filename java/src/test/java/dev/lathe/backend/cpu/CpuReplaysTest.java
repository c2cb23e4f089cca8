package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Activation;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.model.Batch;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.model.RandomModel;
import dev.lathe.model.RandomModels;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Steps that are replayed give what their operations give, or are refused and run. */
final class CpuReplaysTest {
  private static final int STEPS = 40;
  private final Arena arena = Arena.ofShared();

  @BeforeAll
  static void needsTheLibrary() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
  }

  @AfterEach
  void free() {
    arena.close();
  }

  /** Together, replayed, with rows apart; and alone on one thread, where nothing is. */
  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void everyArchitectureGivesTheSameBitsAsAlone(RandomModels kind) {
    int sequences = 5;
    try (RandomModel model = kind.make()) {
      List<List<float[]>> alone = new ArrayList<>();
      try (CpuBackend backend = CpuBackend.open(1)) {
        for (int s = 0; s < sequences; s++) {
          alone.add(logits(model, backend, s, s + 1));
        }
        assertThat(backend.replays()).isZero();
      }
      for (int threads : new int[] {2, 3}) {
        try (CpuBackend backend = CpuBackend.open(threads)) {
          List<float[]> together = logits(model, backend, 0, sequences);
          for (int step = 0; step < STEPS; step++) {
            int width = alone.getFirst().get(step).length;
            for (int s = 0; s < sequences; s++) {
              assertThat(Arrays.copyOfRange(together.get(step), s * width, (s + 1) * width))
                  .as("%d threads, step %d, sequence %d", threads, step, s)
                  .isEqualTo(alone.get(s).get(step));
            }
          }
          // GPT-2 adds positions from a table, which no chain does.
          assertThat(backend.replays() > STEPS / 2).isEqualTo(!kind.name().startsWith("GPT2"));
        }
      }
    }
  }

  /** Logits of some sequences in one batch, step by step. */
  private List<float[]> logits(RandomModel model, CpuBackend backend, int from, int to) {
    List<float[]> all = new ArrayList<>();
    try (Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache(8 * (to - from), 16);
        DeviceMemory memory = backend.allocateMemory()) {
      int vocabulary = decoder.config().vocabulary();
      Tensor logits = memory.tensor(DType.F32, to - from, vocabulary);
      MemorySegment host = arena.allocate(logits.bytes(), 64);
      List<KvSequence> running = new ArrayList<>();
      for (int s = from; s < to; s++) {
        running.add(cache.newSequence());
      }
      for (int step = 0; step < STEPS; step++) {
        Batch batch = new Batch();
        for (int s = from; s < to; s++) {
          int token = new SplittableRandom(31L * s + step).nextInt(vocabulary);
          batch.add(running.get(s - from), new int[] {token}, Batch.Logits.LAST);
        }
        decoder.forward(batch, cache, logits);
        backend.download(logits, host);
        all.add(host.toArray(ValueLayout.JAVA_FLOAT));
      }
      running.forEach(KvSequence::close);
    }
    return all;
  }

  /** The same memory for logits whose rows lie elsewhere in it is another step. */
  @Test
  void logitsWithOtherRowsApartAreAnotherStep() {
    try (RandomModel model = RandomModels.LLAMA_BIASED.make();
        CpuBackend backend = CpuBackend.open(2);
        Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache(8, 16);
        DeviceMemory memory = backend.allocateMemory()) {
      int width = decoder.config().vocabulary();
      Tensor room = memory.tensor(DType.F32, 2, 2L * width);
      Tensor apart = room.columns(0, width);
      Tensor near = room.rows(0, 1).reshape(2, width);
      List<KvSequence> two = List.of(cache.newSequence(), cache.newSequence());
      for (int step = 0; step < 8; step++) {
        Tensor logits = step < 4 ? apart : near;
        room.memory().fill((byte) 0);
        Batch batch = new Batch();
        two.forEach(s -> batch.add(s, new int[] {7}, Batch.Logits.LAST));
        decoder.forward(batch, cache, logits);
        backend.synchronize();
        // Two sequences of the same tokens: their rows are equal, and are where they should be.
        for (int c = 0; c < width; c++) {
          assertThat(at(room, logits.rowStride() + c))
              .as("step %d, column %d", step, c)
              .isNotZero()
              .isEqualTo(at(room, c));
        }
      }
      assertThat(backend.replays()).isPositive();
      two.forEach(KvSequence::close);
    }
  }

  @Test
  void aReplayLooksAtTheNumbersThatAreThereNow() {
    try (CpuBackend backend = CpuBackend.open(2)) {
      Weight table = new Weight.Dense(counting(10, 32));
      Tensor tokens = integers(1, 2, 3, 4);
      Tensor out = empty(4, 32);
      Runnable step = () -> backend.embed(out, table, tokens);
      for (int i = 0; i < 5; i++) {
        tokens.memory().setAtIndex(ValueLayout.JAVA_INT, 2, 4 + i);
        backend.replayable("step", step);
        backend.synchronize();
        assertThat(at(out, 2 * 32)).isEqualTo((4 + i) * 32);
        assertThat(at(out, 3 * 32)).isEqualTo(4 * 32);
      }
      assertThat(backend.replays()).isEqualTo(3);
      // Numbers that are wrong are refused as ever, and those after them are taken again.
      tokens.memory().setAtIndex(ValueLayout.JAVA_INT, 0, 10);
      assertThatThrownBy(() -> backend.replayable("step", step))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("is 10, not in 0 to 9");
      tokens.memory().setAtIndex(ValueLayout.JAVA_INT, 0, 9);
      backend.replayable("step", step);
      backend.synchronize();
      assertThat(at(out, 0)).isEqualTo(9 * 32);
      assertThat(backend.replays()).isEqualTo(4);
    }
  }

  @Test
  void rowsThatMoveBetweenThreadsAreNotReplayed() {
    try (CpuBackend backend = CpuBackend.open(2)) {
      Tensor x = counting(4, 32);
      Tensor rows = integers(0, 1, 2, 3);
      Tensor out = empty(4, 32);
      Weight table = new Weight.Dense(counting(10, 32));
      Runnable step =
          () -> {
            backend.embed(x, table, integers(5, 6, 7, 8));
            backend.gatherRows(out, x, rows);
          };
      for (int i = 0; i < 3; i++) {
        backend.replayable("step", step);
      }
      backend.synchronize();
      assertThat(at(out, 0)).isEqualTo(5 * 32);
      assertThat(backend.replays()).isEqualTo(1);
      rows.memory().setAtIndex(ValueLayout.JAVA_INT, 0, 3);
      backend.replayable("step", step);
      backend.synchronize();
      assertThat(at(out, 0)).isEqualTo(8 * 32);
      assertThat(backend.replays()).isEqualTo(1);
    }
  }

  /** A matrix that no thread's own cache holds is divided by its rows. */
  @Test
  void whatIsNotChainedIsNeverReplayed() {
    try (CpuBackend backend = CpuBackend.open(2);
        DeviceMemory memory = backend.allocateMemory()) {
      Linear large = Linear.of(backend.place(new Weight.Dense(counting(1024, 256)), memory));
      Tensor x = counting(4, 256);
      Tensor out = empty(4, 1024);
      for (int i = 0; i < 4; i++) {
        backend.replayable("step", () -> backend.linear(out, x, large, Epilogue.STORE));
      }
      backend.replayable("nothing", () -> {});
      backend.replayable("nothing", () -> {});
      backend.replayable("nothing", () -> {});
      assertThat(backend.replays()).isZero();
      assertThat(backend.replays(1)).isFalse();
      assertThat(backend.replays(65)).isFalse();
      assertThat(backend.replays(64)).isTrue();
    }
  }

  @Test
  void aStepThatFailsWhileItIsRecordedIsRecordedLater() {
    try (CpuBackend backend = CpuBackend.open(2)) {
      Weight table = new Weight.Dense(counting(10, 32));
      Tensor tokens = integers(1, 2, 3, 4);
      Tensor out = empty(4, 32);
      Runnable step = () -> backend.embed(out, table, tokens);
      backend.replayable("step", step);
      tokens.memory().setAtIndex(ValueLayout.JAVA_INT, 0, -1);
      assertThatThrownBy(() -> backend.replayable("step", step))
          .isInstanceOf(IllegalArgumentException.class);
      tokens.memory().setAtIndex(ValueLayout.JAVA_INT, 0, 6);
      backend.replayable("step", step);
      backend.replayable("step", step);
      backend.synchronize();
      assertThat(at(out, 0)).isEqualTo(6 * 32);
      assertThat(backend.replays()).isEqualTo(1);
      // More steps than are remembered.
      for (int key = 0; key < 200; key++) {
        backend.replayable(key, step);
        backend.replayable(key, step);
        backend.replayable(key, step);
      }
      assertThat(backend.replays()).isEqualTo(201);
    }
  }

  /** Each operation with its rows apart, as {@code rowStride} asks, and one behind the other. */
  @Test
  void rowsApartGiveTheSameBits() {
    try (CpuBackend backend = CpuBackend.open(2)) {
      long stride = backend.rowStride(3, 24);
      assertThat(stride).isEqualTo(24 + 512);
      assertThat(backend.rowStride(1, 24)).isEqualTo(24);
      assertThat(backend.rowStride(65, 24)).isEqualTo(24);
      Tensor x = normal(3, 24);
      Tensor y = normal(3, 24);
      Tensor weight = normal(1, 24).reshape(24);
      Tensor indices = integers(2, 0, 1);
      Weight table = new Weight.Dense(normal(4, 24));
      List<Operation> operations =
          List.of(
              (out, in) -> backend.embed(out, table, indices),
              (out, in) -> backend.addEmbedding(out, table, indices),
              (out, in) -> backend.scale(out, 3),
              (out, in) -> backend.softCap(out, 2),
              (out, in) -> backend.rmsNorm(out, in, weight, 1e-5f),
              (out, in) -> backend.addRmsNorm(out, in, weight, 1e-5f),
              (out, in) -> backend.layerNorm(out, in, weight, weight, 1e-5f),
              (out, in) -> backend.activate(out, in, Activation.GELU),
              (out, in) -> backend.gatherRows(out, in, indices),
              (out, in) -> backend.gate(out.columns(0, 12), in, Activation.SILU));
      for (int i = 0; i < operations.size(); i++) {
        Tensor near = copy(y, 24);
        operations.get(i).run(near, copy(x, 24));
        Tensor apart = copy(y, stride);
        operations.get(i).run(apart, copy(x, stride));
        backend.synchronize();
        for (int r = 0; r < 3; r++) {
          for (int c = 0; c < 24; c++) {
            assertThat(at(apart, r * stride + c))
                .as("operation %d, row %d, column %d", i, r, c)
                .isEqualTo(at(near, r * 24L + c));
          }
        }
      }
    }
  }

  @FunctionalInterface
  private interface Operation {
    void run(Tensor out, Tensor in);
  }

  /** The same numbers with rows so far apart. */
  private Tensor copy(Tensor x, long stride) {
    Tensor copy = empty(x.size(0), stride).columns(0, x.size(1));
    for (long r = 0; r < x.size(0); r++) {
      for (long c = 0; c < x.size(1); c++) {
        float value = at(x, r * x.rowStride() + c);
        copy.memory().setAtIndex(ValueLayout.JAVA_FLOAT, r * stride + c, value);
      }
    }
    return copy;
  }

  private Tensor counting(int rows, int cols) {
    Tensor tensor = empty(rows, cols);
    for (int i = 0; i < rows * cols; i++) {
      tensor.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, i);
    }
    return tensor;
  }

  private Tensor normal(int rows, int cols) {
    SplittableRandom random = new SplittableRandom(rows + 7L * cols);
    Tensor tensor = empty(rows, cols);
    for (int i = 0; i < rows * cols; i++) {
      tensor.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
    }
    return tensor;
  }

  private Tensor integers(int... values) {
    return Tensor.of(arena.allocateFrom(ValueLayout.JAVA_INT, values), DType.I32, values.length);
  }

  private Tensor empty(long rows, long cols) {
    return Tensor.of(arena.allocate(rows * cols * 4, 64), DType.F32, rows, cols);
  }

  private static float at(Tensor tensor, long index) {
    return tensor.memory().getAtIndex(ValueLayout.JAVA_FLOAT, index);
  }
}
