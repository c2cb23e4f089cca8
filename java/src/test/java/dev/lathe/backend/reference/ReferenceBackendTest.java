package dev.lathe.backend.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The reference against results worked out by hand, with nothing in common with its code. */
final class ReferenceBackendTest {
  private final Arena arena = Arena.ofConfined();
  private final ReferenceBackend backend = new ReferenceBackend();

  @AfterEach
  void free() {
    arena.close();
  }

  @Test
  void rmsNorm() {
    // mean(3^2, 4^2) = 12.5; with epsilon 3.5 the root is 4.
    Tensor out = floats(1, 2);
    backend.rmsNorm(out, floats(1, 2, 3, 4), floats(2, 10f), 3.5f);
    assertThat(values(out)).containsExactly(3 / 4f * 2, 4 / 4f * 10);
  }

  @Test
  void embedsEveryFormat() {
    Tensor tokens = integers(1, 0);
    Tensor out = floats(2, 2);
    backend.embed(out, new Weight.Dense(floats(2, 2, 1, 2, 3, 4)), tokens);
    assertThat(values(out)).containsExactly(3, 4, 1, 2);
    Weight int8 =
        new Weight.Int8(
            bytes(2, 2, 1, -2, 3, 4), floats(2, 1, 0.5f, 10), Optional.of(bytes(2, 1, 0, 3)));
    backend.embed(out, int8, tokens);
    assertThat(values(out)).containsExactly(0, 10, 0.5f, -1);
    // Row 0 keeps its second column, row 1 nothing.
    backend.embed(out, bitmap(2, 2, new int[] {0b10, 0}, new long[] {0, 1, 1}, 7), tokens);
    assertThat(values(out)).containsExactly(0, 0, 0, 7);
  }

  @Test
  void linearWithBiasAndResidual() {
    Linear layer =
        new Linear(
            new Weight.Dense(floats(3, 2, 1, 2, 3, 4, 5, 6)),
            Optional.of(floats(100f, 200f, 300f)));
    Tensor out = floats(1, 3, 1000, 2000, 3000);
    backend.linear(out, floats(1, 2, 10, 1), layer, Epilogue.STORE);
    assertThat(values(out)).containsExactly(112, 234, 356);
    backend.linear(out, floats(1, 2, 10, 1), layer, Epilogue.ADD);
    assertThat(values(out)).containsExactly(224, 468, 712);
  }

  @Test
  void linearOverGroupsWithARaggedLastOne() {
    // Groups of 2: scales 1, 10, 100; the last group has one column.
    Weight weight =
        new Weight.Int8(
            bytes(1, 5, 1, 2, 3, 4, 5),
            floats(1, 3, 1, 10, 100),
            Optional.of(bytes(1, 3, 0, 1, 2)));
    Tensor out = floats(1, 1);
    backend.linear(out, floats(1, 5, 1, 1, 1, 1, 1), Linear.of(weight), Epilogue.STORE);
    assertThat(values(out)).containsExactly(1 + 2 + 20 + 30 + 300);
  }

  @Test
  void linearIntoAStridedSlice() {
    Tensor wide = floats(2, 3, 9, 9, 9, 9, 9, 9);
    backend.linear(
        wide.columns(1, 2),
        floats(2, 1, 2, 3),
        Linear.of(new Weight.Dense(floats(1, 1, 5))),
        Epilogue.STORE);
    assertThat(values(wide)).containsExactly(9, 10, 9, 9, 15, 9);
  }

  @Test
  void bitsOfABitmapCountFromTheLeast() {
    // Columns 0, 8 and 9 of ten.
    Weight weight = bitmap(1, 10, new int[] {0b1, 0b11}, new long[] {0, 3}, 2, 3, 5);
    Tensor out = floats(1, 1);
    Tensor x = floats(1, 10, 1, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 10, 100);
    backend.linear(out, x, Linear.of(weight), Epilogue.STORE);
    assertThat(values(out)).containsExactly(2 + 30 + 500);
  }

  @Test
  void rotatesHalvesAgainstEachOther() {
    // One head of four: pairs (0, 2) and (1, 3). At position 1 the first turns by 90 degrees, the
    // second by 180; position 0 stays.
    AttentionShape shape = new AttentionShape(1, 1, 4, 1);
    Tensor rotations = floats(2, 4, 1, 1, 0, 0, 0, -1, 1, 0);
    KvLayer cache = new KvLayer(floats4(2, 1, 1, 4), floats4(2, 1, 1, 4));
    Tensor qkv =
        floats(
            2, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4);
    // The first token goes to slot 1, the second to slot 0.
    backend.rotateAndAppend(
        qkv, rotations, shape, cache, batch(new int[] {0, 1}, new int[] {1, 0}, 2, 1, 0));
    assertThat(values(qkv.columns(0, 4))).containsExactly(1, 2, 3, 4, -3, -2, 1, -4);
    assertThat(values(cache.keys())).containsExactly(-7, -6, 5, -8, 5, 6, 7, 8);
    assertThat(values(cache.values())).containsExactly(-1, -2, -3, -4, 9, 10, 11, 12);
  }

  @Test
  void attentionOfTwoTokens() {
    // Two query heads share one key head. Page 1 holds the first token, page 0 the second.
    AttentionShape shape = new AttentionShape(2, 1, 2, 0.5f);
    KvLayer cache = new KvLayer(floats4(2, 1, 1, 2), floats4(2, 1, 1, 2));
    set(cache.keys(), 2, 0, 1, 0);
    set(cache.values(), 30, 40, 10, 20);
    Tensor qkv = floats(2, 8, 9, 9, 9, 9, 0, 0, 0, 0, 2, 0, 0, 5, 0, 0, 0, 0);
    Tensor out = floats(2, 4);
    backend.attention(out, qkv, shape, cache, batch(new int[] {0, 1}, new int[] {1, 0}, 2, 1, 0));
    float[] result = values(out);
    // The first token sees itself alone, whatever its query.
    assertThat(result[0]).isEqualTo(10);
    assertThat(result[1]).isEqualTo(20);
    assertThat(result[2]).isEqualTo(10);
    assertThat(result[3]).isEqualTo(20);
    // Head 0 of the second: scores 1 and 2; weights 1 / (1 + e) and e / (1 + e), e = 2.718282.
    assertThat(result[4]).isCloseTo(0.2689414f * 10 + 0.7310586f * 30, within(1e-5f));
    assertThat(result[5]).isCloseTo(0.2689414f * 20 + 0.7310586f * 40, within(1e-5f));
    // Head 1: its query is orthogonal to both keys, so it takes the mean.
    assertThat(result[6]).isEqualTo(20);
    assertThat(result[7]).isEqualTo(30);
  }

  @Test
  void gates() {
    Tensor gateUp = floats(1, 4, 1, -2, 10, 100);
    Tensor out = floats(1, 2);
    // silu(1) = 0.7310586, silu(-2) = -2 * 0.1192029
    backend.gate(out, gateUp, Activation.SILU);
    assertThat(values(out)[0]).isCloseTo(7.310586f, within(1e-5f));
    assertThat(values(out)[1]).isCloseTo(-23.84058f, within(1e-4f));
    // Phi(1) = 0.8413447, Phi(-2) = 0.02275013
    backend.gate(out, gateUp, Activation.GELU);
    assertThat(values(out)[0]).isCloseTo(8.413447f, within(1e-5f));
    assertThat(values(out)[1]).isCloseTo(-4.550026f, within(1e-5f));
    // The tanh form: 0.8411920 and -0.04540231
    backend.gate(out, gateUp, Activation.GELU_TANH);
    assertThat(values(out)[0]).isCloseTo(8.411920f, within(1e-5f));
    assertThat(values(out)[1]).isCloseTo(-4.540231f, within(1e-5f));
  }

  @Test
  void gathersAndFindsTheFirstOfEquals() {
    Tensor x = floats(3, 2, 1, 2, 3, 3, 6, 5);
    Tensor out = floats(2, 2);
    backend.gatherRows(out, x, integers(2, 0));
    assertThat(values(out)).containsExactly(6, 5, 1, 2);
    Tensor largest = integers(9, 9, 9);
    backend.argmax(largest, x);
    assertThat(largest.memory().toArray(ValueLayout.JAVA_INT_UNALIGNED)).containsExactly(1, 0, 0);
  }

  @Test
  void refusesIndicesOutOfRange() {
    Weight table = new Weight.Dense(floats(2, 2));
    assertThatThrownBy(() -> backend.embed(floats(1, 2), table, integers(2)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("tokens[0] is 2, not in 0 to 1");
    AttentionShape shape = new AttentionShape(1, 1, 2, 1);
    KvLayer cache = new KvLayer(floats4(1, 1, 1, 2), floats4(1, 1, 1, 2));
    BatchTensors beyond = batch(new int[] {0}, new int[] {0}, 2, 0);
    assertThatThrownBy(() -> backend.attention(floats(1, 2), floats(1, 6), shape, cache, beyond))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("1 new tokens, a context of 2 and 1 pages of 1");
  }

  @Test
  void memoryIsCountedAndFreedTogether() {
    Tensor tensor;
    try (var memory = backend.allocateMemory()) {
      tensor = memory.tensor(DType.F32, 3, 5);
      assertThat(memory.bytes()).isEqualTo(60);
      assertThat(values(tensor)).containsOnly(0);
    }
    assertThatThrownBy(() -> values(tensor)).isInstanceOf(IllegalStateException.class);
  }

  /** One sequence whose tokens are all new or the last of its context. */
  private BatchTensors batch(int[] positions, int[] slots, int context, int... blocks) {
    return new BatchTensors(
        integers(new int[positions.length]),
        integers(positions),
        integers(slots),
        integers(0, positions.length),
        integers(context),
        integers(0, blocks.length),
        integers(blocks),
        integers(0));
  }

  private Tensor floats(float... values) {
    return Tensor.of(arena.allocateFrom(ValueLayout.JAVA_FLOAT, values), DType.F32, values.length);
  }

  private Tensor floats(int rows, int cols, float... values) {
    Tensor tensor = Tensor.of(arena.allocate(4L * rows * cols, 4), DType.F32, rows, cols);
    set(tensor, values);
    return tensor;
  }

  private Tensor floats4(long... shape) {
    return Tensor.of(arena.allocate(Tensor.elements(shape) * 4, 4), DType.F32, shape);
  }

  private static void set(Tensor tensor, float... values) {
    MemorySegment.copy(
        values, 0, tensor.memory(), ValueLayout.JAVA_FLOAT_UNALIGNED, 0, values.length);
  }

  private Tensor integers(int... values) {
    return Tensor.of(arena.allocateFrom(ValueLayout.JAVA_INT, values), DType.I32, values.length);
  }

  private Tensor bytes(int rows, int cols, int... values) {
    Tensor tensor = Tensor.of(arena.allocate((long) rows * cols), DType.I8, rows, cols);
    for (int i = 0; i < values.length; i++) {
      tensor.memory().set(ValueLayout.JAVA_BYTE, i, (byte) values[i]);
    }
    return tensor;
  }

  private Weight bitmap(int rows, int cols, int[] bits, long[] offsets, float... kept) {
    Tensor bitmap = Tensor.of(arena.allocate(bits.length), DType.U8, rows, Math.ceilDiv(cols, 8));
    for (int i = 0; i < bits.length; i++) {
      bitmap.memory().set(ValueLayout.JAVA_BYTE, i, (byte) bits[i]);
    }
    return new Weight.Bitmap(
        cols,
        bitmap,
        Tensor.of(arena.allocateFrom(ValueLayout.JAVA_LONG, offsets), DType.I64, offsets.length),
        floats(kept),
        Optional.empty(),
        Optional.empty());
  }

  /** Row by row, without the gaps. */
  private static float[] values(Tensor tensor) {
    long cols = tensor.size(tensor.rank() - 1);
    float[] values = new float[Math.toIntExact(tensor.elements())];
    for (int i = 0; i < values.length; i++) {
      long at = i / cols * tensor.rowStride() + i % cols;
      values[i] = Floats.get(tensor.memory(), tensor.dtype(), at);
    }
    return values;
  }
}
