package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.AttentionCase.chunk;
import static dev.lathe.backend.cuda.AttentionCase.decode;
import static dev.lathe.backend.cuda.AttentionCase.prefill;
import static dev.lathe.backend.cuda.AttentionTrial.RAGGED;
import static dev.lathe.backend.cuda.AttentionTrial.arithmetic;
import static dev.lathe.backend.cuda.AttentionTrial.check;
import static dev.lathe.backend.cuda.AttentionTrial.plain;
import static dev.lathe.backend.cuda.AttentionTrial.run;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.KvLayer;
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
          AttentionTrial.divided(c, splits));
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
    return AttentionTrial.isCaught(
        c,
        (same, data) -> {},
        (limits, sizes) -> plain("test/attention_faults", "attention_with_defect", sizes, defect));
  }
}
