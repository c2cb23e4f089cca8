package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.AttentionCase.chunk;
import static dev.lathe.backend.cuda.AttentionCase.decode;
import static dev.lathe.backend.cuda.AttentionCase.prefill;
import static dev.lathe.backend.cuda.AttentionTrial.RAGGED;
import static dev.lathe.backend.cuda.AttentionTrial.arithmetic;
import static dev.lathe.backend.cuda.AttentionTrial.check;
import static dev.lathe.backend.cuda.AttentionTrial.isCaught;
import static dev.lathe.backend.cuda.AttentionTrial.plain;
import static dev.lathe.backend.cuda.AttentionTrial.run;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The kernels of {@link PagedAttentionTest} over INT8: scales, units of sums, rows that are NaN.
 */
@Tag("cuda")
class Int8PagedAttentionTest {
  /** Planted mistakes, by their number in cuda-kernels/test/kv_int8_faults.cu. */
  @ParameterizedTest
  @CsvSource({
    "1, a key has the scale of the one before",
    "2, a value has the scale of the one before",
    "3, keys have the scales of values",
    "4, all values have one scale",
    "5, codes are unsigned",
    "6, a key has the codes of the one before"
  })
  void canaryAMistakeOverInt8IsCaught(int defect, String what) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    AttentionCase c = AttentionCase.of(4, 2, 8, DType.I8, 16, RAGGED);
    for (int d : new int[] {0, defect}) {
      assertThat(
              isCaught(
                  c,
                  (same, data) -> {},
                  (limits, sizes) ->
                      plain("test/kv_int8_faults", "int8_attention_with_defect", sizes, d)))
          .as("%d: %s", d, what)
          .isEqualTo(d != 0);
    }
  }

  /** paged_attention_decode_int8.cu itself, and the same with one mistake. */
  @ParameterizedTest
  @CsvSource({
    "paged_attention_decode_int8, false",
    "test/int8_order_faults, true",
    "test/int8_unit_faults, true"
  })
  void canaryAMistakeInDecodeOverInt8IsCaught(String module, boolean wrong) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    AttentionCase c = AttentionCase.of(4, 2, 64, DType.I8, 16, decode(200), decode(33));
    boolean caught =
        isCaught(
            c,
            Int8PagedAttentionTest::letValuesGrow,
            (limits, sizes) -> {
              AttentionPlan.Launch right =
                  AttentionPlan.of(limits, c.shape(), c.type(), sizes).launches().getFirst();
              return new AttentionPlan(
                  List.of(
                      new AttentionPlan.Launch(
                          module,
                          right.kernel(),
                          right.rowsPerTile(),
                          right.tiles(),
                          1,
                          right.keysPerSplit(),
                          right.leastNew(),
                          right.mostNew(),
                          right.step(),
                          right.sharedBytes())));
            });
    assertThat(caught).isEqualTo(wrong);
  }

  /**
   * Values that grow from key to key, shrink, and vanish: sums of INT8 are in units that rise with
   * them.
   */
  @ParameterizedTest
  @CsvSource({"64, 1", "64, 3", "128, 1", "256, 2"})
  void int8ValuesOfEverySize(int headDim, int splits) {
    AttentionCase c =
        AttentionCase.of(2, 1, headDim, DType.I8, 16, decode(300), prefill(90), chunk(130, 70));
    for (String order : CudaBench.orders()) {
      check(c, order, Int8PagedAttentionTest::letValuesGrow, AttentionTrial.divided(c, splits));
    }
  }

  /**
   * The last of several new tokens has a NaN in its key, or in its value: those before it, in the
   * same tile, have nothing of it.
   */
  @ParameterizedTest
  @CsvSource({"3, true", "3, false", "70, true", "70, false"})
  void anInt8RowWithANanIsSeenByItsOwnTokenOnly(int newTokens, boolean inKey) {
    AttentionCase c = AttentionCase.of(2, 1, 64, DType.I8, 16, chunk(100, newTokens));
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      Tensor expected = c.expected(bench, data);
      KvLayer cache = data.cache();
      int slot = CudaBench.integer(data.batch().slots(), newTokens - 1);
      float[] row = new float[c.shape().headDim()];
      row[5] = Float.NaN;
      KvRows.write(cache, inKey ? cache.keys() : cache.values(), slot / 16, 0, slot % 16, row);
      AttentionPlan plan =
          AttentionPlan.of(bench.context.limits(), c.shape(), c.type(), c.sizes(data.batch()));
      assertThat(plan.launches().getFirst().module())
          .isEqualTo("paged_attention_" + (newTokens == 3 ? "decode" : "prefill") + "_int8");
      Tensor actual = run(bench, c, data, plan);
      long last = newTokens - 1L;
      AttentionCase.assertClose(
          c.toString(),
          actual.rows(0, last),
          expected.rows(0, last),
          c.bound(data, arithmetic(plan, c.type())));
      for (long i = 0; i < actual.size(1); i++) {
        assertThat(CudaBench.at(actual, last * actual.size(1) + i)).isNaN();
      }
    }
  }

  /** By position: from 2^-60 on, twice as large every fourth key, from key 200 on zeros. */
  private static void letValuesGrow(AttentionCase c, AttentionCase.Data data) {
    KvLayer cache = data.cache();
    float[] value = new float[c.shape().headDim()];
    for (int s = 0; s < c.sequences().size(); s++) {
      for (int p = 0; p < c.sequences().get(s).context(); p++) {
        int block = CudaBench.integer(data.batch().blockStarts(), s) + p / c.pageSize();
        int page = CudaBench.integer(data.batch().blocks(), block);
        for (int head = 0; head < c.shape().kvHeads(); head++) {
          KvRows.read(cache, cache.values(), page, head, p % c.pageSize(), value);
          for (int i = 0; i < value.length; i++) {
            value[i] = p < 200 ? Math.scalb(value[i], p / 4 - 60) : 0;
          }
          KvRows.write(cache, cache.values(), page, head, p % c.pageSize(), value);
        }
      }
    }
  }
}
