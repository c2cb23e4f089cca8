package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.measure.Flops.Work;
import dev.lathe.model.Batch;
import dev.lathe.model.Batch.Logits;
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
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The formulas against a count by hand, and against arithmetic that counts itself. */
class FlopsTest {

  /** A batch that mixes everything: a prompt, a chunk after a prefix, and a decode step. */
  private static final int[][] STEPS = {{3, 0}, {5, 4}, {1, 19}};

  private record Ran(float[] logits, long operations, long logitRows, List<Work> work) {}

  /** Brings each sequence to its prefix, then runs one mixed batch of all three. */
  private static Ran run(Checkpoint model, Backend backend) {
    try (Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache(20, 4);
        Arena arena = Arena.ofConfined()) {
      SplittableRandom random = new SplittableRandom(5);
      Batch batch = new Batch();
      List<Work> work = new ArrayList<>();
      List<KvSequence> sequences = new ArrayList<>();
      for (int[] step : STEPS) {
        KvSequence sequence = cache.newSequence();
        sequences.add(sequence);
        if (step[1] > 0) {
          Batch prefix = new Batch().add(sequence, tokens(random, step[1]), Logits.NONE);
          decoder.forward(prefix, cache, null);
        }
        batch.add(sequence, tokens(random, step[0]), step[0] == 5 ? Logits.ALL : Logits.LAST);
        work.add(new Work(step[0], step[0] + step[1]));
      }
      long before = backend instanceof CountingBackend c ? c.operations() : 0;
      int rows = batch.logitRowCount();
      int vocabulary = decoder.config().vocabulary();
      MemorySegment memory = arena.allocate(4L * rows * vocabulary, 64);
      decoder.forward(batch, cache, Tensor.of(memory, DType.F32, rows, vocabulary));
      sequences.forEach(KvSequence::close);
      long counted = backend instanceof CountingBackend c ? c.operations() - before : 0;
      return new Ran(memory.toArray(ValueLayout.JAVA_FLOAT), counted, rows, work);
    }
  }

  private static int[] tokens(SplittableRandom random, int count) {
    return random.ints(count, 0, TinyModel.VOCABULARY).toArray();
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aForwardPassIsWhatItsArithmeticCounts(boolean tied) {
    TinyModel model = new TinyModel(1, tied);
    Ran counted = run(model, new CountingBackend());
    Ran expected = run(model, new ReferenceBackend());
    // That the counted arithmetic is the model's: it gives the model's logits. A few roundings to
    // float apart, of values near 1, through two layers.
    assertThat(counted.logits())
        .usingComparatorWithPrecision(1e-4f)
        .containsExactly(expected.logits());
    try (Decoder decoder = Decoder.load(model, new ReferenceBackend())) {
      assertThat(
              Flops.forward(
                  decoder.config(), decoder.weights(), counted.work(), counted.logitRows()))
          .isEqualTo(counted.operations());
      // The canary: one row of logits more, and the two must part.
      assertThat(
              Flops.forward(
                  decoder.config(), decoder.weights(), counted.work(), counted.logitRows() + 1))
          .isNotEqualTo(counted.operations());
    }
  }

  /** Windows shorter than the contexts among them; and the operations' own figures add up. */
  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void everyArchitecturesForwardPassIsWhatItsArithmeticCounts(RandomModels kind) {
    try (RandomModel model = kind.make();
        Backend reference = new ReferenceBackend();
        Decoder decoder = Decoder.load(model, reference)) {
      Ran counted = run(model, new CountingBackend());
      assertThat(counted.logits())
          .usingComparatorWithPrecision(1e-3f)
          .containsExactly(run(model, reference).logits());
      TimingBackend timing =
          new TimingBackend(reference, OperationNames.of(decoder.weights()), System::nanoTime);
      Ran timed = run(model, timing);
      long flops =
          Flops.forward(decoder.config(), decoder.weights(), counted.work(), counted.logitRows());
      assertThat(flops).isEqualTo(counted.operations());
      // Its events are those of the prefixes too: the last forward pass begins at the last embed.
      List<TimingBackend.Event> events = timing.takeEvents();
      int last = events.stream().map(TimingBackend.Event::name).toList().lastIndexOf("embed");
      assertThat(events.stream().skip(last).mapToLong(TimingBackend.Event::flops).sum())
          .isEqualTo(flops);
      assertThat(timed.logitRows()).isEqualTo(counted.logitRows());
      assertThat(Flops.params(decoder.weights())).isEqualTo(decoder.weightBytes() / 4).isPositive();
    }
  }

  @Test
  void contextsWithinAWindow() {
    for (int window : new int[] {1, 2, 3, 5, 6, 7, 8, 100, Integer.MAX_VALUE}) {
      for (int[] step : new int[][] {{1, 1}, {3, 3}, {3, 7}, {1, 9}, {7, 7}}) {
        long seen = 0;
        for (int i = 0; i < step[0]; i++) {
          seen += Math.min(window, step[1] - step[0] + i + 1);
        }
        assertThat(new Work(step[0], step[1]).contexts(window)).isEqualTo(seen);
      }
    }
    assertThat(new Work(3, 9).cached(4)).isEqualTo(6);
    assertThat(new Work(3, 9).cached(100)).isEqualTo(9);
  }

  @Test
  void aForwardPassCountedByHand() {
    try (Decoder decoder = Decoder.load(new TinyModel(1, true), new ReferenceBackend())) {
      // Two tokens from nothing: contexts 1 and 2. hidden 6, heads 4 of 8, kv heads 2, ffn 10.
      long norm = 2 * (6 * 4 + 3); // 54
      long qkv = 2 * 2 * 6 * 64; // 1536: (4 + 2 + 2) * 8 = 64 outputs
      long rope = 2 * 6 * 4 * 6; // 288: 6 heads of 4 pairs, 6 operations a pair
      long scores = 4 * 3 * (2 * 8 + 1); // 204: 3 = 1 + 2 tokens seen; dot of 8, scaled
      long softmax = 4 * 3 * 3; // 36
      long values = 4 * 3 * 2 * 8 + 4 * 2 * 8; // 256: weighted sum, divided once
      long output = 2 * 2 * 32 * 6 + 2 * 6; // 780: with the residual
      long gateUp = 2 * 2 * 6 * 20; // 480
      long gate = 2 * 10 * 5; // 100
      long down = 2 * 2 * 10 * 6 + 2 * 6; // 252
      long layer =
          norm + qkv + rope + scores + softmax + values + output + norm + gateUp + gate + down;
      assertThat(layer).isEqualTo(4040);
      long head = (6 * 4 + 3) + 2 * 6 * 11; // 159 for one row
      assertThat(Flops.forward(decoder.config(), decoder.weights(), List.of(new Work(2, 2)), 1))
          .isEqualTo(2 * layer + head);
    }
  }

  @Test
  void parametersOfATiedModelCountTheTableOnce() {
    long layer = 2 * 6 + 64 * 6 + 6 * 32 + 20 * 6 + 6 * 10;
    try (Decoder tied = Decoder.load(new TinyModel(1, true), new ReferenceBackend());
        Decoder untied = Decoder.load(new TinyModel(1, false), new ReferenceBackend())) {
      assertThat(Flops.params(tied.weights())).isEqualTo(2 * layer + 11 * 6 + 6);
      assertThat(Flops.params(untied.weights())).isEqualTo(2 * layer + 2 * 11 * 6 + 6);
      assertThat(tied.weightBytes()).isEqualTo(4 * Flops.params(tied.weights()));
    }
  }

  @ParameterizedTest
  @EnumSource(Activation.class)
  void everyActivationIsWhatItsArithmeticCounts(Activation activation) {
    CountingBackend counting = new CountingBackend();
    Tensor gateUp = matrix(3, 14);
    Tensor out = matrix(3, 7);
    Tensor expected = matrix(3, 7);
    counting.gate(out, gateUp, activation);
    new ReferenceBackend().gate(expected, gateUp, activation);
    assertThat(Flops.gate(21, activation)).isEqualTo(counting.operations());
    assertThat(floats(out)).usingComparatorWithPrecision(1e-5f).containsExactly(floats(expected));
  }

  @Test
  void biasResidualAndMissingWeightsCount() {
    Weight dense = new Weight.Dense(matrix(5, 9));
    Weight sparse = bitmap(5, 9);
    assertThat(Flops.storedWeights(sparse)).isEqualTo(15);
    Weight stacked = new Weight.Stacked(List.of(dense, sparse));
    for (Weight weight : List.of(dense, sparse, stacked)) {
      for (Epilogue epilogue : Epilogue.values()) {
        for (boolean biased : new boolean[] {false, true}) {
          Optional<Tensor> bias =
              biased
                  ? Optional.of(matrix(1, weight.rows()).reshape(weight.rows()))
                  : Optional.empty();
          Linear layer = new Linear(weight, bias);
          CountingBackend counting = new CountingBackend();
          counting.linear(matrix(4, weight.rows()), matrix(4, 9), layer, epilogue);
          assertThat(Flops.linear(4, layer, epilogue))
              .as("%s, %s, bias %s", weight.format(), epilogue, biased)
              .isEqualTo(counting.operations());
        }
      }
    }
  }

  @Test
  void contextsAreTheCausalTriangleAndWhatLiesBefore() {
    assertThat(new Work(1, 1).contexts()).isEqualTo(1);
    assertThat(new Work(1, 20).contexts()).isEqualTo(20);
    assertThat(new Work(3, 3).contexts()).isEqualTo(1 + 2 + 3);
    assertThat(new Work(3, 7).contexts()).isEqualTo(5 + 6 + 7);
  }

  @Test
  void bytesCountEachInputAndOutputOnce() {
    Linear layer = Linear.of(new Weight.Dense(matrix(5, 9)));
    assertThat(Bytes.linear(2, layer, Epilogue.STORE)).isEqualTo(4 * (45 + 2 * 9 + 2 * 5));
    assertThat(Bytes.linear(2, layer, Epilogue.ADD)).isEqualTo(4 * (45 + 2 * 9 + 2 * 2 * 5));
    AttentionShape shape = new AttentionShape(4, 2, 8, 1);
    // Queries in and outputs out, 2 tokens of 32; keys and values of 10 cached tokens, 2 heads of
    // 8.
    assertThat(Bytes.attention(shape, 2, 10, DType.F32)).isEqualTo(4 * (2 * 2 * 32 + 10 * 2 * 16));
    assertThat(Bytes.attention(shape, 2, 10, DType.F16))
        .isEqualTo(4 * 2 * 2 * 32 + 2 * 10 * 2 * 16);
    assertThat(Bytes.rotateAndAppend(1, shape, DType.F16))
        .isEqualTo(4 * 64 + 4 * 8 + 4 * 32 + 2 * 32);
    assertThat(Bytes.embed(3, new Weight.Dense(matrix(5, 9)))).isEqualTo(3 * (36 + 36 + 4));
  }

  private static Tensor matrix(long rows, long cols) {
    Tensor matrix = Tensor.of(Arena.ofAuto().allocate(4 * rows * cols, 64), DType.F32, rows, cols);
    for (long i = 0; i < rows * cols; i++) {
      matrix.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) Math.sin(i + 1));
    }
    return matrix;
  }

  /** Every third weight kept. */
  private static Weight bitmap(int rows, int cols) {
    int rowBytes = Math.ceilDiv(cols, 8);
    MemorySegment bits = Arena.ofAuto().allocate((long) rows * rowBytes, 64);
    MemorySegment offsets = Arena.ofAuto().allocate(8L * (rows + 1), 64);
    int kept = 0;
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        if ((r * cols + c) % 3 == 0) {
          long at = (long) r * rowBytes + c / 8;
          bits.set(
              ValueLayout.JAVA_BYTE,
              at,
              (byte) (bits.get(ValueLayout.JAVA_BYTE, at) | 1 << (c % 8)));
          kept++;
        }
      }
      offsets.setAtIndex(ValueLayout.JAVA_LONG, r + 1, kept);
    }
    return new Weight.Bitmap(
        cols,
        Tensor.of(bits, DType.U8, rows, rowBytes),
        Tensor.of(offsets, DType.I64, rows + 1),
        matrix(1, kept).reshape(kept),
        Optional.empty(),
        Optional.empty());
  }

  private static float[] floats(Tensor tensor) {
    return tensor.memory().toArray(ValueLayout.JAVA_FLOAT);
  }
}
