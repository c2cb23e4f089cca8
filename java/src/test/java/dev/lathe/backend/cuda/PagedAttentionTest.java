package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.AttentionCase.chunk;
import static dev.lathe.backend.cuda.AttentionCase.decode;
import static dev.lathe.backend.cuda.AttentionCase.prefill;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.backend.cuda.AttentionKernels.Scratch;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** cuda-kernels/paged_attention_*.cu against double precision, over the shapes where they break. */
@Tag("cuda")
class PagedAttentionTest {
  private static final AttentionCase.Sequence[] RAGGED = {
    prefill(33), decode(17), decode(1), chunk(40, 3), decode(32), prefill(16)
  };

  /** Heads, groups, sizes, pages: each with decode, prefill and both. */
  static List<AttentionCase> generalCases() {
    List<AttentionCase> cases = new ArrayList<>();
    for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16, DType.I8}) {
      cases.add(AttentionCase.of(4, 2, 16, type, 16, decode(1)));
      cases.add(AttentionCase.of(4, 2, 16, type, 16, prefill(5)));
      cases.add(AttentionCase.of(4, 1, 8, type, 16, RAGGED));
      cases.add(AttentionCase.of(7, 1, 10, type, 1, RAGGED));
      cases.add(AttentionCase.of(3, 3, 7, type, 5, RAGGED));
    }
    cases.add(AttentionCase.of(8, 1, 64, DType.F32, 256, decode(300), decode(256), decode(257)));
    // Of INT8, rows that start at 16 bytes in pages that don't.
    cases.add(AttentionCase.of(2, 1, 32, DType.I8, 6, RAGGED));
    cases.add(AttentionCase.of(2, 2, 48, DType.I8, 16, RAGGED).window(7).softCap(0.7f));
    cases.add(AttentionCase.of(18, 2, 4, DType.F32, 16, RAGGED));
    cases.add(AttentionCase.of(2, 2, 300, DType.F32, 16, RAGGED));
    for (int window : new int[] {1, 7, 16, 40}) {
      cases.add(AttentionCase.of(4, 2, 8, DType.F32, 16, RAGGED).window(window));
    }
    cases.add(AttentionCase.of(4, 2, 8, DType.F32, 16, RAGGED).softCap(0.7f));
    cases.add(AttentionCase.of(4, 2, 8, DType.F32, 16, RAGGED).softCap(50).window(9));
    cases.add(AttentionCase.of(2, 1, 8, DType.F32, 16, decode(1100), decode(3)));
    return cases;
  }

  @ParameterizedTest
  @MethodSource("generalCases")
  void generalKernelsEqualDoublePrecision(AttentionCase c) {
    for (String order : CudaBench.orders()) {
      check(c, order, (limits, sizes) -> AttentionPlan.general(limits, c.shape(), c.type(), sizes));
    }
  }

  /** Parts of one key, of a few, and more parts than there are keys. */
  @ParameterizedTest
  @MethodSource("generalCases")
  void dividedKeysGiveTheSame(AttentionCase c) {
    for (int splits : new int[] {2, 5, 40}) {
      check(
          c,
          CudaBench.orders().get(splits % CudaBench.orders().size()),
          (limits, sizes) ->
              new AttentionPlan(
                  AttentionPlan.general(limits, c.shape(), c.type(), sizes).launches().stream()
                      .map(launch -> launch.withSplits(splits, launch.step()))
                      .toList()));
    }
  }

  /**
   * Head sizes of each kernel and below, groups below, of and above 16 rows, pages, windows, caps.
   */
  static List<AttentionCase> tensorCoreCases() {
    List<AttentionCase> cases = new ArrayList<>();
    for (DType type : new DType[] {DType.F16, DType.BF16, DType.I8}) {
      cases.add(AttentionCase.of(1, 1, 64, type, 16, decode(1)));
      cases.add(AttentionCase.of(4, 1, 64, type, 16, decode(16), decode(17), decode(130)));
      cases.add(
          AttentionCase.of(8, 2, 128, type, 16, decode(15), decode(63), decode(64), decode(65)));
      cases.add(AttentionCase.of(7, 1, 48, type, 1, decode(33), decode(2)));
      cases.add(AttentionCase.of(7, 1, 80, type, 20, decode(45), decode(20), decode(200)));
      cases.add(AttentionCase.of(2, 2, 256, type, 256, decode(300), decode(70)));
      cases.add(AttentionCase.of(1, 1, 144, type, 64, decode(100)));
      cases.add(AttentionCase.of(18, 1, 16, type, 16, decode(40), decode(9)));
      cases.add(AttentionCase.of(2, 1, 64, type, 32, RAGGED));
      cases.add(AttentionCase.of(4, 1, 64, type, 16, RAGGED).softCap(0.7f));
      cases.add(AttentionCase.of(2, 2, 128, type, 16, prefill(130), decode(7), chunk(200, 65)));
      cases.add(AttentionCase.of(7, 1, 64, type, 1, prefill(70)));
      cases.add(AttentionCase.of(8, 2, 48, type, 20, chunk(150, 40), prefill(9)));
      cases.add(AttentionCase.of(2, 1, 256, type, 256, prefill(80)));
    }
    for (DType type : new DType[] {DType.F16, DType.I8}) {
      // More than 8 rows, and so many keys that the largest score of one half rises alone.
      cases.add(AttentionCase.of(16, 1, 16, type, 16, decode(500)));
      // The last row of a warp sees one key more than those before the step; with a window, the
      // first.
      cases.add(AttentionCase.of(1, 1, 16, type, 16, chunk(119, 70)));
      cases.add(AttentionCase.of(1, 1, 80, type, 16, prefill(130)).window(82));
      for (int window : new int[] {1, 7, 16, 17, 35, 40}) {
        cases.add(
            AttentionCase.of(4, 1, 32, type, 16, decode(100), decode(40), decode(3), chunk(90, 5))
                .window(window));
      }
      for (int window : new int[] {1, 15, 64, 65}) {
        cases.add(AttentionCase.of(2, 1, 32, type, 16, prefill(140), decode(90)).window(window));
      }
      cases.add(AttentionCase.of(4, 1, 32, type, 16, RAGGED).softCap(50).window(9));
    }
    return cases;
  }

  @ParameterizedTest
  @MethodSource("tensorCoreCases")
  void tensorCoreKernelsEqualDoublePrecision(AttentionCase c) {
    for (String order : CudaBench.orders()) {
      check(c, order, (limits, sizes) -> AttentionPlan.of(limits, c.shape(), c.type(), sizes));
    }
  }

  @ParameterizedTest
  @MethodSource("tensorCoreCases")
  void dividedKeysOfTensorCoreKernelsGiveTheSame(AttentionCase c) {
    for (int splits : new int[] {2, 40}) {
      check(
          c,
          CudaBench.orders().get(splits % CudaBench.orders().size()),
          (limits, sizes) ->
              new AttentionPlan(
                  AttentionPlan.of(limits, c.shape(), c.type(), sizes).launches().stream()
                      .map(launch ->
                          launch.module().startsWith("paged_attention_decode")
                              ? launch.withSplits(splits, 16)
                              : launch)
                      .toList()));
    }
  }

  /** Long enough for each warp to read its page numbers three times, with and without parts. */
  @ParameterizedTest
  @CsvSource({"F16, 16", "BF16, 64", "F16, 24", "I8, 16", "I8, 24"})
  void longContexts(DType type, int pageSize) {
    AttentionCase c = AttentionCase.of(2, 1, 16, type, pageSize, decode(4500), decode(1030));
    for (int splits : new int[] {1, 7}) {
      check(
          c,
          CudaBench.orders().getLast(),
          (limits, sizes) ->
              new AttentionPlan(
                  List.of(
                      AttentionPlan.of(limits, c.shape(), type, sizes)
                          .launches()
                          .getFirst()
                          .withSplits(splits, 16))));
    }
  }

  /** Through the front door, with the workspace that was asked for. */
  @ParameterizedTest
  @CsvSource({"F16, 0x1p-22, 2", "I8, 0x1p-11, 1"})
  void planIsChosenByShape(DType type, double rounding, int parts) {
    AttentionCase c =
        AttentionCase.of(4, 1, 32, type, 16, decode(700), decode(1), chunk(60, 30), decode(90));
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      AttentionKernels kernels = new AttentionKernels(bench.kernels, bench.context.limits());
      Tensor out = bench.device(DType.F32, data.qkv().size(0), 4 * 32);
      kernels.attention(
          out,
          bench.up(data.qkv()),
          c.shape(),
          new KvLayer(bench.up(data.cache().keys()), bench.up(data.cache().values())),
          AttentionCase.up(bench, data.batch()),
          new Scratch(
              bench.device(DType.U8, kernels.workspaceBytes(c.shape(), c.type())),
              Optional.of(bench.up(bench.host(DType.I32, kernels.arrivals())))));
      AttentionCase.assertClose(
          c.toString(),
          bench.down(out),
          c.expected(bench, data),
          c.bound(data, new AttentionCase.Arithmetic(rounding, rounding, 16, parts, 1)));
    }
  }

  /**
   * Each of output, queries, keys and values in turn starts one element behind a multiple of 16
   * bytes, in decode and in prefill.
   */
  @ParameterizedTest
  @CsvSource({"F16, 64", "BF16, 32", "F32, 16", "I8, 64"})
  void memoryMayStartAnywhere(DType type, int headDim) {
    for (AttentionCase c :
        List.of(
            AttentionCase.of(4, 2, headDim, type, 16, decode(40), decode(17)),
            AttentionCase.of(4, 2, headDim, type, 16, prefill(70)))) {
      for (int shifted = 0; shifted < 4; shifted++) {
        try (CudaBench bench = new CudaBench()) {
          AttentionCase.Data data = c.make(bench);
          RowTensors tensors = new RowTensors(bench, c);
          DeviceLimits limits = bench.context.limits();
          AttentionKernels kernels = new AttentionKernels(bench.kernels, limits);
          Tensor out = tensors.device(shifted == 0, data.qkv().size(0), 4L * headDim);
          kernels.attention(
              out,
              tensors.up(data.qkv(), shifted == 1),
              c.shape(),
              new KvLayer(
                  tensors.up(data.cache().keys(), shifted == 2),
                  tensors.up(data.cache().values(), shifted == 3)),
              AttentionCase.up(bench, data.batch()),
              new Scratch(
                  bench.device(DType.U8, kernels.workspaceBytes(c.shape(), type)),
                  Optional.of(bench.up(bench.host(DType.I32, kernels.arrivals())))));
          AttentionPlan general =
              AttentionPlan.general(limits, c.shape(), type, c.sizes(data.batch()));
          AttentionCase.assertClose(
              c + ", shifted " + shifted,
              bench.down(out),
              c.expected(bench, data),
              c.bound(data, arithmetic(general, type)));
        }
      }
    }
  }

  /** The kernels that write two columns at a time do fault there. */
  @Test
  void canaryMisalignedOutputIsCaught() {
    CheckedEmulator.fresh();
    AttentionCase c = AttentionCase.of(2, 1, 64, DType.BF16, 16, prefill(70));
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      Tensor out = new RowTensors(bench, c).device(true, data.qkv().size(0), 128);
      AttentionPlan plan =
          AttentionPlan.of(bench.context.limits(), c.shape(), c.type(), c.sizes(data.batch()));
      Scratch scratch =
          new Scratch(bench.device(DType.F32, plan.partialFloats(c.shape())), Optional.empty());
      assertThatThrownBy(() -> bench.down(run(bench, c, data, plan, scratch, out)))
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("misaligned write of 8 bytes");
    }
  }

  /** Planted mistakes, by their number in cuda-kernels/test/attention_faults.cu. */
  @ParameterizedTest
  @CsvSource({
    "1, the mask is one key too wide",
    "2, the mask is one key too narrow",
    "3, the window is one key too wide",
    "4, the window is one key too narrow",
    "5, the second page is the first",
    "6, heads of a group read different keys",
    "7, parts are added up without rescaling",
    "8, a part is missing",
    "9, scores are not capped"
  })
  void canaryAMistakeIsCaught(int defect, String what) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    List<AttentionCase> cases =
        List.of(
            AttentionCase.of(4, 2, 8, DType.F32, 16, RAGGED),
            AttentionCase.of(4, 2, 8, DType.F32, 16, RAGGED).window(7),
            AttentionCase.of(4, 2, 8, DType.F32, 16, RAGGED).softCap(0.7f));
    for (AttentionCase c : cases) {
      assertThat(isCaught(c, 0)).as("control, " + c).isFalse();
    }
    assertThat(cases).as(what).anyMatch(c -> isCaught(c, defect));
  }

  private static boolean isCaught(AttentionCase c, int defect) {
    return isCaught(
        c,
        (same, data) -> {},
        (limits, sizes) -> plain("test/attention_faults", "attention_with_defect", sizes, defect));
  }

  /** A thread a row, tiles of 32 rows, any number of new tokens. */
  private static AttentionPlan plain(
      String module, String kernel, AttentionPlan.Sizes sizes, int defect) {
    return new AttentionPlan(
        List.of(
            new AttentionPlan.Launch(
                module,
                kernel,
                32,
                (long) sizes.tokens() + sizes.sequences(),
                1,
                1,
                1,
                Integer.MAX_VALUE,
                defect,
                0)));
  }

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
            PagedAttentionTest::letValuesGrow,
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
      check(
          c,
          order,
          PagedAttentionTest::letValuesGrow,
          (limits, sizes) ->
              new AttentionPlan(
                  AttentionPlan.of(limits, c.shape(), c.type(), sizes).launches().stream()
                      .map(launch ->
                          launch.module().startsWith("paged_attention_decode")
                              ? launch.withSplits(splits, 16)
                              : launch)
                      .toList()));
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

  private static boolean isCaught(AttentionCase c, Change change, Planner planner) {
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      change.in(c, data);
      AttentionPlan plan = planner.plan(bench.context.limits(), c.sizes(data.batch()));
      Tensor actual = run(bench, c, data, plan);
      // Wrong kernels are held to what the right ones of their kind keep.
      AttentionCase.Arithmetic arithmetic =
          plan.launches().getFirst().sharedBytes() > 0
              ? new AttentionCase.Arithmetic(0x1p-11, 0x1p-11, 16, 1, 4)
              : new AttentionCase.Arithmetic(0, 0, 1, 0, 1);
      try {
        AttentionCase.assertClose(
            c.toString(), actual, c.expected(bench, data), c.bound(data, arithmetic));
        return false;
      } catch (AssertionError e) {
        return true;
      }
    }
  }

  /** Changes what a case has drawn. */
  interface Change {
    void in(AttentionCase c, AttentionCase.Data data);
  }

  interface Planner {
    AttentionPlan plan(DeviceLimits limits, AttentionPlan.Sizes sizes);
  }

  private static void check(AttentionCase c, String order, Planner planner) {
    check(c, order, (same, data) -> {}, planner);
  }

  private static void check(AttentionCase c, String order, Change change, Planner planner) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      change.in(c, data);
      AttentionPlan plan = planner.plan(bench.context.limits(), c.sizes(data.batch()));
      Tensor actual = run(bench, c, data, plan);
      AttentionCase.assertClose(
          order + ": " + c + " by " + plan,
          actual,
          c.expected(bench, data),
          c.bound(data, arithmetic(plan, c.type())));
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  /**
   * Tensor cores take queries and probabilities rounded (F16 has 11 digits, BF16 8): to one part in
   * prefill of BF16 and beside INT8, which is multiplied in F16, else to two, where the second
   * part's rounding is the error.
   */
  private static AttentionCase.Arithmetic arithmetic(AttentionPlan plan, DType type) {
    List<String> modules = plan.launches().stream().map(AttentionPlan.Launch::module).toList();
    boolean general = modules.contains("paged_attention_general");
    boolean prefill = modules.stream().anyMatch(m -> m.startsWith("paged_attention_prefill"));
    boolean decode = modules.stream().anyMatch(m -> m.startsWith("paged_attention_decode"));
    double rounding = 0;
    if (type == DType.I8 && (prefill || decode)) {
      rounding = 0x1p-11;
    } else if (type == DType.BF16 && prefill) {
      rounding = 0x1p-8;
    } else if (prefill || decode) {
      rounding = type == DType.F16 ? 0x1p-22 : 0x1p-16;
    }
    int keysAtATime =
        plan.launches().stream()
            .mapToInt(
                launch -> launch.module().equals("paged_attention_general") ? launch.step() : 16)
            .min()
            .orElseThrow();
    // What is not general has a part or two, and in decode four warps share a row's keys.
    boolean two = type != DType.I8 && (decode || type == DType.F16);
    int parts = general || !(prefill || decode) ? 0 : two ? 2 : 1;
    return new AttentionCase.Arithmetic(
        rounding, rounding, keysAtATime, parts, decode && !prefill ? 4 : 1);
  }

  /**
   * Divided keys are put together by the last block and by a kernel of its own, to the same bits;
   * and again, as a graph that is replayed would.
   */
  private static Tensor run(
      CudaBench bench, AttentionCase c, AttentionCase.Data data, AttentionPlan plan) {
    Tensor partials = bench.device(DType.F32, plan.partialFloats(c.shape()));
    Tensor apart = run(bench, c, data, plan, new Scratch(partials, Optional.empty()));
    if (plan.launches().stream().anyMatch(launch -> launch.splits() > 1)) {
      long tiles = plan.launches().stream().mapToLong(AttentionPlan.Launch::tiles).max().orElse(0);
      Tensor arrived = bench.up(bench.host(DType.I32, tiles * c.shape().kvHeads()));
      for (String which : List.of("the last block's", "again")) {
        Tensor together = run(bench, c, data, plan, new Scratch(partials, Optional.of(arrived)));
        assertThat(together.memory().mismatch(apart.memory()))
            .as("%s: %s by %s", which, c, plan)
            .isEqualTo(-1);
        assertThat(bench.downIntegers(arrived)).containsOnly(0);
      }
    }
    return apart;
  }

  private static Tensor run(
      CudaBench bench,
      AttentionCase c,
      AttentionCase.Data data,
      AttentionPlan plan,
      Scratch scratch) {
    Tensor out =
        bench.device(DType.F32, data.qkv().size(0), (long) c.shape().heads() * c.shape().headDim());
    return bench.down(run(bench, c, data, plan, scratch, out));
  }

  /** Into memory of the caller's choice. */
  private static Tensor run(
      CudaBench bench,
      AttentionCase c,
      AttentionCase.Data data,
      AttentionPlan plan,
      Scratch scratch,
      Tensor out) {
    new AttentionKernels(bench.kernels, bench.context.limits())
        .run(
            plan,
            out,
            bench.up(data.qkv()),
            c.shape(),
            new KvLayer(bench.up(data.cache().keys()), bench.up(data.cache().values())),
            AttentionCase.up(bench, data.batch()),
            scratch);
    return out;
  }
}
