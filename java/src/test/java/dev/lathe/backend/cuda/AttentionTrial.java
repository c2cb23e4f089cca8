package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.AttentionCase.chunk;
import static dev.lathe.backend.cuda.AttentionCase.decode;
import static dev.lathe.backend.cuda.AttentionCase.prefill;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.KvLayer;
import dev.lathe.backend.cuda.AttentionKernels.Scratch;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/** Runs a case of attention by a plan and holds what comes out against double precision. */
final class AttentionTrial {
  static final AttentionCase.Sequence[] RAGGED = {
    prefill(33), decode(17), decode(1), chunk(40, 3), decode(32), prefill(16)
  };

  private AttentionTrial() {}

  /** A thread a row, tiles of 32 rows, any number of new tokens. */
  static AttentionPlan plain(String module, String kernel, AttentionPlan.Sizes sizes, int defect) {
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

  /** The fastest kernels, with keys divided among so many blocks where they can be. */
  static Planner divided(AttentionCase c, int splits) {
    return (limits, sizes) ->
        new AttentionPlan(
            AttentionPlan.of(limits, c.shape(), c.type(), sizes).launches().stream()
                .map(launch ->
                    launch.module().startsWith("paged_attention_decode")
                        ? launch.withSplits(splits, 16)
                        : launch)
                .toList());
  }

  static boolean isCaught(AttentionCase c, Change change, Planner planner) {
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

  static void check(AttentionCase c, String order, Planner planner) {
    check(c, order, (same, data) -> {}, planner);
  }

  static void check(AttentionCase c, String order, Change change, Planner planner) {
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
  static AttentionCase.Arithmetic arithmetic(AttentionPlan plan, DType type) {
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
  static Tensor run(CudaBench bench, AttentionCase c, AttentionCase.Data data, AttentionPlan plan) {
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

  static Tensor run(
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
  static Tensor run(
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
