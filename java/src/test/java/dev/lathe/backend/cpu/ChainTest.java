package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.model.Batch;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Operations over a few rows that return before their work is done give what they give at once. */
final class ChainTest {
  private static final int COLS = 64;

  @BeforeAll
  static void needsTheLibrary() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
  }

  @Test
  void stepsOfAModelAreTheSameToTheBitOnAnyNumberOfThreads() {
    for (int sequences : new int[] {1, 2, 3, 5, 8, 33, 64, 65}) {
      List<float[]> alone = logits(1, sequences, 24, 1);
      for (int threads : new int[] {2, 3, 7}) {
        List<float[]> together = logits(threads, sequences, 24, 1);
        for (int step = 0; step < alone.size(); step++) {
          assertThat(together.get(step))
              .as("%d sequences, %d threads, step %d", sequences, threads, step)
              .isEqualTo(alone.get(step));
        }
      }
    }
  }

  /** Rows are divided between sequences then, where these are much alike, and evenly elsewhere. */
  @Test
  void promptsAreTheSameToTheBitOnAnyNumberOfThreads() {
    for (int sequences : new int[] {1, 2, 3, 4, 7, 8, 12}) {
      for (int most : new int[] {3, 5, 16}) {
        List<float[]> alone = logits(1, sequences, 6, most);
        for (int threads : new int[] {2, 3, 4, 7}) {
          List<float[]> together = logits(threads, sequences, 6, most);
          for (int step = 0; step < alone.size(); step++) {
            assertThat(together.get(step))
                .as("%d prompts by %d, %d threads, step %d", sequences, most, threads, step)
                .isEqualTo(alone.get(step));
          }
        }
      }
    }
  }

  /**
   * Contexts of unlike lengths: a step goes in and out of chains.
   *
   * @param most new tokens of a sequence in a step; in half of the steps all have so many
   */
  private static List<float[]> logits(int threads, int sequences, int steps, int most) {
    List<float[]> all = new ArrayList<>();
    try (TinyModel model = new TinyModel(7);
        CpuBackend backend = CpuBackend.open(threads);
        Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache((most + 4) * sequences, 16);
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      int vocabulary = decoder.config().vocabulary();
      Tensor logits = memory.tensor(DType.F32, sequences, vocabulary);
      MemorySegment host = arena.allocate(logits.bytes(), 64);
      List<KvSequence> running = new ArrayList<>();
      SplittableRandom random = new SplittableRandom(3);
      for (int s = 0; s < sequences; s++) {
        running.add(cache.newSequence());
      }
      for (int step = 0; step < steps; step++) {
        Batch batch = new Batch();
        for (int s = 0; s < sequences; s++) {
          int fresh = most > 1 ? (step % 2 == 0 ? most : 1 + random.nextInt(most)) : 1;
          fresh = step == 0 && most == 1 ? 1 + s % 7 : fresh;
          int[] tokens = random.ints(fresh, 0, vocabulary).toArray();
          batch.add(running.get(s), tokens, Batch.Logits.LAST);
        }
        decoder.forward(batch, cache, logits);
        backend.download(logits, host);
        all.add(host.toArray(ValueLayout.JAVA_FLOAT));
      }
      running.forEach(KvSequence::close);
    }
    return all;
  }

  @Test
  void whoLooksAcrossRowsWaitsForAllOfThem() {
    for (int rows : new int[] {2, 8, 64}) {
      float[] alone = turnedAround(1, rows);
      for (int threads : new int[] {2, 5}) {
        assertThat(turnedAround(threads, rows))
            .as("%d rows, %d threads", rows, threads)
            .isEqualTo(alone);
      }
    }
  }

  /** Products whose rows change places after each, many times, and one look at the end. */
  private static float[] turnedAround(int threads, int rows) {
    try (CpuBackend backend = CpuBackend.open(threads);
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Linear layer = Linear.of(backend.place(new Weight.Dense(rotation(arena)), memory));
      Tensor x = memory.tensor(DType.F32, rows, COLS);
      Tensor y = memory.tensor(DType.F32, rows, COLS);
      Tensor order = memory.tensor(DType.I32, rows);
      fill(backend, arena, x);
      MemorySegment places = arena.allocate(order.bytes(), 64);
      for (int r = 0; r < rows; r++) {
        places.setAtIndex(ValueLayout.JAVA_INT, r, rows - 1 - r);
      }
      backend.upload(places, order);
      for (int i = 0; i < 2000; i++) {
        backend.linear(y, x, layer, Epilogue.STORE);
        backend.gatherRows(x, y, order);
      }
      return values(backend, arena, x);
    }
  }

  @Test
  void memoryThatIsClosedOrWrittenIsWaitedForFirst() {
    try (CpuBackend backend = CpuBackend.open(2);
        DeviceMemory weights = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Linear layer = Linear.of(backend.place(new Weight.Dense(rotation(arena)), weights));
      MemorySegment ones = arena.allocate(8L * COLS * 4, 64);
      MemorySegment zeros = arena.allocate(8L * COLS * 4, 64);
      for (int i = 0; i < 8 * COLS; i++) {
        ones.setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
      }
      Tensor sum = weights.tensor(DType.F32, 8, COLS);
      float[] first = null;
      for (int i = 0; i < 500; i++) {
        try (DeviceMemory memory = backend.allocateMemory()) {
          Tensor x = memory.tensor(DType.F32, 8, COLS);
          backend.upload(ones, x);
          backend.linear(sum, x, layer, Epilogue.STORE);
          backend.upload(zeros, x); // the product before was of ones all the same
          backend.linear(sum, x, layer, Epilogue.ADD);
          Tensor lost = memory.tensor(DType.F32, 8, COLS);
          backend.linear(lost, sum, layer, Epilogue.STORE); // closed before anybody looked
        }
        float[] now = values(backend, arena, sum);
        first = first == null ? now : first;
        assertThat(now).isEqualTo(first);
      }
      assertThat(first).isNotEqualTo(new float[8 * COLS]);
    }
  }

  @Test
  void aWorkerThatSleepsIsNotWaitedFor() throws InterruptedException {
    for (int round = 0; round < 5; round++) {
      float[] alone = turnedAround(1, 8);
      Thread.sleep(20); // workers that spin fall asleep within some milliseconds
      assertThat(turnedAround(2, 8)).isEqualTo(alone);
    }
  }

  /** A matrix that neither grows nor shrinks what it multiplies: rotations of neighbours. */
  private static Tensor rotation(Arena arena) {
    Tensor matrix = Tensor.of(arena.allocate((long) COLS * COLS * 4, 64), DType.F32, COLS, COLS);
    for (int c = 0; c < COLS; c += 2) {
      set(matrix, c, c, 0.8f);
      set(matrix, c, c + 1, -0.6f);
      set(matrix, c + 1, c, 0.6f);
      set(matrix, c + 1, c + 1, 0.8f);
    }
    return matrix;
  }

  private static void set(Tensor matrix, int row, int col, float value) {
    matrix.memory().setAtIndex(ValueLayout.JAVA_FLOAT, (long) row * COLS + col, value);
  }

  private static void fill(CpuBackend backend, Arena arena, Tensor tensor) {
    MemorySegment host = arena.allocate(tensor.bytes(), 64);
    SplittableRandom random = new SplittableRandom(5);
    for (long i = 0; i < tensor.elements(); i++) {
      host.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextDouble(-1, 1));
    }
    backend.upload(host, tensor);
  }

  private static float[] values(CpuBackend backend, Arena arena, Tensor tensor) {
    MemorySegment host = arena.allocate(tensor.bytes(), 64);
    backend.download(tensor, host);
    return host.toArray(ValueLayout.JAVA_FLOAT);
  }
}
