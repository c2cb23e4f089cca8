package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.AttentionCase.chunk;
import static dev.lathe.backend.cuda.AttentionCase.decode;
import static dev.lathe.backend.cuda.AttentionCase.prefill;

import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
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
    for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16}) {
      cases.add(AttentionCase.of(4, 2, 16, type, 16, decode(1)));
      cases.add(AttentionCase.of(4, 2, 16, type, 16, prefill(5)));
      cases.add(AttentionCase.of(4, 1, 8, type, 16, RAGGED));
      cases.add(AttentionCase.of(7, 1, 10, type, 1, RAGGED));
      cases.add(AttentionCase.of(3, 3, 7, type, 5, RAGGED));
    }
    cases.add(AttentionCase.of(8, 1, 64, DType.F32, 256, decode(300), decode(256), decode(257)));
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

  interface Planner {
    AttentionPlan plan(DeviceLimits limits, AttentionPlan.Sizes sizes);
  }

  private static void check(AttentionCase c, String order, Planner planner) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench()) {
      AttentionCase.Data data = c.make(bench);
      AttentionPlan plan = planner.plan(bench.context.limits(), c.sizes(data.batch()));
      Tensor actual = run(bench, c, data, plan);
      AttentionCase.assertClose(
          order + ": " + c + " by " + plan, actual, c.expected(bench, data), c.bound(data, 0, 0));
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  private static Tensor run(
      CudaBench bench, AttentionCase c, AttentionCase.Data data, AttentionPlan plan) {
    Tensor out =
        bench.device(DType.F32, data.qkv().size(0), (long) c.shape().heads() * c.shape().headDim());
    Tensor workspace = bench.device(DType.F32, plan.partialFloats(c.shape()));
    new AttentionKernels(bench.kernels, bench.context.limits())
        .run(
            plan,
            out,
            bench.up(data.qkv()),
            c.shape(),
            new KvLayer(bench.up(data.cache().keys()), bench.up(data.cache().values())),
            AttentionCase.up(bench, data.batch()),
            workspace);
    return bench.down(out);
  }
}
