package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.AttentionCase.chunk;
import static dev.lathe.backend.cuda.AttentionCase.decode;
import static dev.lathe.backend.cuda.AttentionCase.prefill;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** cuda-kernels/rope.cu against double precision; what it only copies, bit by bit. */
@Tag("cuda")
class RopeKernelTest {
  private static final int POSITIONS = 300;
  private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16, DType.I8};

  static List<AttentionCase> cases() {
    List<AttentionCase> cases = new ArrayList<>();
    for (DType type : TYPES) {
      for (int pageSize : new int[] {1, 16, 256}) {
        for (int headDim : new int[] {2, 8, 10, 12, 64}) {
          cases.add(
              AttentionCase.of(
                  6, 2, headDim, type, pageSize, prefill(33), decode(17), decode(1), chunk(40, 3)));
        }
      }
      cases.add(AttentionCase.of(32, 8, 128, type, 16, decode(300)));
    }
    return cases;
  }

  @ParameterizedTest
  @MethodSource("cases")
  void rotatesAndAppends(AttentionCase c) {
    for (String order : CudaBench.orders()) {
      check(c, order, true);
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void appends(AttentionCase c) {
    for (String order : CudaBench.orders()) {
      check(c, order, false);
    }
  }

  @Test
  void appendsHeadsOfAnOddSize() {
    for (DType type : TYPES) {
      check(AttentionCase.of(3, 3, 7, type, 5, prefill(9), decode(6)), "forward", false);
    }
  }

  @Test
  void tokensThatFillUpABatchAreLeftOut() {
    AttentionCase c = AttentionCase.of(2, 1, 8, DType.F32, 16, decode(4), decode(9));
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      KvLayer cache = up(bench, data.cache());
      BatchTensors batch = AttentionCase.up(bench, slots(bench, data.batch(), -1, -1));
      Tensor qkv = bench.up(data.qkv());
      new AttentionKernels(bench.kernels, bench.context.limits())
          .rotateAndAppend(qkv, bench.up(rotations(bench, 8)), c.shape(), cache, batch);
      assertThat(bench.down(qkv).memory().mismatch(data.qkv().memory())).isEqualTo(-1);
      assertThat(bench.down(cache.keys()).memory().mismatch(data.cache().keys().memory()))
          .isEqualTo(-1);
    }
  }

  /**
   * Ties between codes, a row of zeros, one below what a step can be of, one with a NaN and one
   * with an infinity, as keys and as values: the definition's codes and scales.
   */
  @ParameterizedTest
  @ValueSource(ints = {7, 8, 64})
  void rowsOfEveryKindAsInt8(int headDim) {
    float[][] kinds = {
      {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f},
      {0, -0f, 0, 0, 0, 0, 0},
      {1e-31f, -1e-33f, 0, 0, 0, 0, 0},
      {1, Float.NaN, 2, 3, 4, 5, 6},
      {1, 2, Float.NEGATIVE_INFINITY, 3, 4, 5, 6},
      {Float.MAX_VALUE, 1, -Float.MAX_VALUE, 1e37f, 1e36f, 3e36f, 0},
      {-1e-30f, 1e-30f, 0.49e-30f, 0.51e-30f, 0, 0, 0}
    };
    for (int key = 0; key < kinds.length; key++) {
      float[] keys = kinds[key];
      float[] values = kinds[(key + 3) % kinds.length];
      check(
          AttentionCase.of(2, 1, headDim, DType.I8, 5, decode(4)),
          "forward",
          false,
          (bench, batch) -> batch,
          (c, qkv) -> {
            for (int i = 0; i < headDim; i++) {
              boolean inside = i < keys.length;
              Floats.set(qkv.memory(), DType.F32, 2L * headDim + i, inside ? keys[i] : 0);
              Floats.set(qkv.memory(), DType.F32, 3L * headDim + i, inside ? values[i] : 0);
            }
          });
    }
  }

  /** Codes and scales one byte behind where they could be moved together. */
  @ParameterizedTest
  @ValueSource(ints = {7, 64})
  void int8CachesMayStartAnywhere(int headDim) {
    AttentionCase c = AttentionCase.of(2, 1, headDim, DType.I8, 4, decode(6), prefill(5));
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      AttentionCase.Data data = c.make(bench);
      RowTensors tensors = new RowTensors(bench, c);
      KvLayer cache =
          new KvLayer(
              tensors.up(data.cache().keys(), true), tensors.up(data.cache().values(), true));
      new AttentionKernels(bench.kernels, bench.context.limits())
          .append(bench.up(data.qkv()), c.shape(), cache, AttentionCase.up(bench, data.batch()));
      reference.append(data.qkv(), c.shape(), data.cache(), data.batch());
      assertCache("keys", c, bench.down(cache.keys()), data.cache().keys(), false);
      assertCache("values", c, bench.down(cache.values()), data.cache().values(), false);
    }
  }

  /** Planted mistakes, by their number in cuda-kernels/test/kv_int8_faults.cu. */
  @ParameterizedTest
  @CsvSource({
    "1, codes are cut off, not rounded",
    "2, half of the row is looked at for its largest",
    "3, the largest is that before the rotation",
    "4, the scale is that of the next row",
    "5, values have the scale of the key",
    "6, a NaN is left out",
    "7, what is below the least step is a step",
    "8, the largest is 128"
  })
  void canaryAMistakeInInt8IsCaught(int defect, String what) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    for (int d : new int[] {0, defect}) {
      boolean caught = false;
      for (float first : new float[] {1, 1e-31f, Float.NaN}) {
        caught |= isCaught(d, first);
      }
      assertThat(caught).as("%d: %s", d, what).isEqualTo(d != 0);
    }
  }

  /**
   * @param first of the first token's key, which has zeros behind it where this is not 1
   */
  private static boolean isCaught(int defect, float first) {
    AttentionCase c = AttentionCase.of(2, 2, 8, DType.I8, 16, decode(4), decode(9));
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      AttentionCase.Data data = c.make(bench);
      for (int i = 0; i < 8 && first != 1; i++) {
        Floats.set(data.qkv().memory(), DType.F32, 16 + i, i == 0 ? first : 0);
      }
      Tensor rotations = rotations(bench, 8);
      KvLayer cache = up(bench, data.cache());
      BatchTensors batch = AttentionCase.up(bench, data.batch());
      bench
          .kernels
          .get("test/kv_int8_faults", "append_int8_with_defect")
          .pointer(bench.up(data.qkv()))
          .pointer(cache.keys())
          .pointer(cache.values())
          .pointer(bench.up(rotations))
          .pointer(batch.positions())
          .pointer(batch.slots())
          .i32(c.shape().heads())
          .i32(c.shape().kvHeads())
          .i32(8)
          .i32(c.pageSize())
          .i32(defect)
          .launch(batch.tokenCount(), 2 * c.shape().kvHeads(), 1, 1, 0);
      Tensor turned = keysTurnedInF32(c, bench, data, rotations);
      reference.append(turned, c.shape(), data.cache(), data.batch());
      try {
        assertCache("keys", c, bench.down(cache.keys()), data.cache().keys(), true);
        assertCache("values", c, bench.down(cache.values()), data.cache().values(), false);
        return false;
      } catch (AssertionError e) {
        return true;
      }
    }
  }

  /** One token's key where another's belongs is seen. */
  @ParameterizedTest
  @EnumSource(names = {"F32", "I8"})
  void canaryAWrongSlotIsCaught(DType type) {
    assertThatThrownBy(() ->
            check(
                AttentionCase.of(2, 1, 8, type, 16, decode(4), decode(9)),
                "forward",
                true,
                (bench, batch) ->
                    slots(
                        bench,
                        batch,
                        CudaBench.integer(batch.slots(), 1),
                        CudaBench.integer(batch.slots(), 0))))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("keys");
  }

  /** Rotations the wrong way round are seen: kernels are given angles of the other sign. */
  @Test
  void canaryAWrongAngleIsCaught() {
    AttentionCase c = AttentionCase.of(2, 1, 8, DType.F32, 16, decode(4));
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      Tensor wrong = rotations(bench, 8);
      for (long i = 0; i < wrong.elements(); i++) {
        boolean sine = i % 8 >= 4;
        Floats.set(
            wrong.memory(), DType.F32, i, (float) (sine ? -1 : 1) * (float) CudaBench.at(wrong, i));
      }
      Tensor qkv = bench.up(data.qkv());
      new AttentionKernels(bench.kernels, bench.context.limits())
          .rotateAndAppend(
              qkv,
              bench.up(wrong),
              c.shape(),
              up(bench, data.cache()),
              AttentionCase.up(bench, data.batch()));
      assertThatThrownBy(() -> assertQueries(c, bench, bench.down(qkv), expected(c, bench, data)))
          .isInstanceOf(AssertionError.class);
    }
  }

  /** Changes what a case has drawn. */
  private interface Change {
    void in(AttentionCase c, Tensor qkv);
  }

  private interface Mistake {
    BatchTensors of(CudaBench bench, BatchTensors batch);
  }

  private static void check(AttentionCase c, String order, boolean turned) {
    check(c, order, turned, (bench, batch) -> batch);
  }

  private static void check(AttentionCase c, String order, boolean turned, Mistake mistake) {
    check(c, order, turned, mistake, (same, qkv) -> {});
  }

  private static void check(
      AttentionCase c, String order, boolean turned, Mistake mistake, Change change) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench();
        ReferenceBackend reference = new ReferenceBackend()) {
      AttentionCase.Data data = c.make(bench);
      change.in(c, data.qkv());
      Tensor rotations = rotations(bench, c.shape().headDim());
      Tensor expected = bench.copy(data.qkv());
      KvLayer expectedCache =
          new KvLayer(bench.copy(data.cache().keys()), bench.copy(data.cache().values()));
      if (turned) {
        reference.rotateAndAppend(expected, rotations, c.shape(), expectedCache, data.batch());
      } else {
        reference.append(expected, c.shape(), expectedCache, data.batch());
      }
      if (turned && c.type() == DType.I8) {
        Tensor stepByStep = keysTurnedInF32(c, bench, data, rotations);
        reference.append(stepByStep, c.shape(), expectedCache, data.batch());
      }

      KvLayer cache = up(bench, data.cache());
      Tensor qkv = bench.up(data.qkv());
      BatchTensors batch = AttentionCase.up(bench, mistake.of(bench, data.batch()));
      AttentionKernels kernels = new AttentionKernels(bench.kernels, bench.context.limits());
      if (turned) {
        kernels.rotateAndAppend(qkv, bench.up(rotations), c.shape(), cache, batch);
        assertQueries(c, bench, bench.down(qkv), expected);
      } else {
        kernels.append(qkv, c.shape(), cache, batch);
        assertThat(bench.down(qkv).memory().mismatch(data.qkv().memory())).as("qkv").isEqualTo(-1);
      }
      assertCache("keys", c, bench.down(cache.keys()), expectedCache.keys(), turned);
      assertCache("values", c, bench.down(cache.values()), expectedCache.values(), false);
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  /** Each product and sum of the rotation rounded to F32: what INT8 keys are the codes of. */
  private static Tensor keysTurnedInF32(
      AttentionCase c, CudaBench bench, AttentionCase.Data data, Tensor rotations) {
    Tensor qkv = bench.copy(data.qkv());
    int headDim = c.shape().headDim();
    int half = headDim / 2;
    for (long t = 0; t < qkv.size(0); t++) {
      long angles = (long) CudaBench.integer(data.batch().positions(), t) * headDim;
      for (int head = 0; head < c.shape().kvHeads(); head++) {
        long key = t * qkv.size(1) + (long) (c.shape().heads() + head) * headDim;
        for (int i = 0; i < half; i++) {
          float cos = (float) CudaBench.at(rotations, angles + i);
          float sin = (float) CudaBench.at(rotations, angles + half + i);
          float x = (float) CudaBench.at(qkv, key + i);
          float y = (float) CudaBench.at(qkv, key + half + i);
          Floats.set(qkv.memory(), DType.F32, key + i, x * cos - y * sin);
          Floats.set(qkv.memory(), DType.F32, key + half + i, y * cos + x * sin);
        }
      }
    }
    return qkv;
  }

  private static Tensor expected(AttentionCase c, CudaBench bench, AttentionCase.Data data) {
    Tensor expected = bench.copy(data.qkv());
    KvLayer cache = new KvLayer(bench.copy(data.cache().keys()), bench.copy(data.cache().values()));
    try (ReferenceBackend reference = new ReferenceBackend()) {
      reference.rotateAndAppend(
          expected, rotations(bench, c.shape().headDim()), c.shape(), cache, data.batch());
    }
    return expected;
  }

  /** Two products and a sum: 3 u of what is multiplied. Values behind the queries are as before. */
  private static void assertQueries(
      AttentionCase c, CudaBench bench, Tensor actual, Tensor expected) {
    long queries = (long) c.shape().heads() * c.shape().headDim();
    for (long t = 0; t < expected.size(0); t++) {
      AttentionCase.assertClose(
          "queries of " + c,
          bench.floats(row(actual, t, queries)),
          bench.floats(row(expected, t, queries)),
          6 * 0x1p-24 * 8);
    }
  }

  private static float[] row(Tensor matrix, long row, long columns) {
    float[] values = new float[(int) columns];
    for (int i = 0; i < columns; i++) {
      values[i] = (float) CudaBench.at(matrix, row * matrix.size(1) + i);
    }
    return values;
  }

  /**
   * A rotation may round differently by one step of the type; all else is the same, NaN too. INT8
   * is the same to the bit, codes and scales.
   */
  private static void assertCache(
      String what, AttentionCase c, Tensor actual, Tensor expected, boolean turned) {
    if (c.type() == DType.I8) {
      assertThat(actual.memory().mismatch(expected.memory()))
          .as("first byte of %s that differs: %s", what, c)
          .isEqualTo(-1);
      return;
    }
    double step =
        switch (c.type()) {
          case F16 -> 0x1p-10;
          case BF16 -> 0x1p-7;
          default -> 0;
        };
    for (long i = 0; i < expected.elements(); i++) {
      double is = CudaBench.at(actual, i);
      double should = CudaBench.at(expected, i);
      double allowed = turned ? 6 * 0x1p-24 * 8 + step * Math.abs(should) : 0;
      boolean same = Double.isNaN(should) ? Double.isNaN(is) : Math.abs(is - should) <= allowed;
      if (!same) {
        throw new AssertionError(
            "%s of %s: element %d is %s, should be %s".formatted(what, c, i, is, should));
      }
    }
  }

  private static KvLayer up(CudaBench bench, KvLayer cache) {
    return new KvLayer(bench.up(cache.keys()), bench.up(cache.values()));
  }

  private static BatchTensors slots(CudaBench bench, BatchTensors batch, int... slots) {
    return new BatchTensors(
        batch.tokens(),
        batch.positions(),
        bench.integers(slots),
        batch.queryStarts(),
        batch.contextLengths(),
        batch.blockStarts(),
        batch.blocks(),
        batch.logitRows());
  }

  static Tensor rotations(CudaBench bench, int headDim) {
    int half = headDim / 2;
    Tensor rotations = bench.host(DType.F32, POSITIONS, headDim);
    for (int p = 0; p < POSITIONS; p++) {
      for (int i = 0; i < half; i++) {
        double angle = p * Math.pow(10000, -2.0 * i / headDim);
        long at = (long) p * headDim + i;
        rotations.memory().setAtIndex(ValueLayout.JAVA_FLOAT, at, (float) Math.cos(angle));
        rotations.memory().setAtIndex(ValueLayout.JAVA_FLOAT, at + half, (float) Math.sin(angle));
      }
    }
    return rotations;
  }
}
