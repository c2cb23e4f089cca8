package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
import dev.lathe.gpucheck.Items;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;

/**
 * Attention in decode and prefill, on the shapes of scripts/peers/shapes.json; decode with pages of
 * several sizes in turns. Pages lie in random order. What is timed is checked before, against
 * kernels that know no tensor cores.
 */
final class AttentionBench {
  private static final DType TYPE = DType.BF16;

  private final Items items;
  private final boolean tiny;

  AttentionBench(Items items, boolean tiny) {
    this.items = items;
    this.tiny = tiny;
  }

  /**
   * @param asked only what the project has a target for, or only the rest
   */
  void run(boolean asked) {
    JsonNode pages = BenchLines.shapes("pages", tiny);
    for (JsonNode shape : BenchLines.shapes("attention_decode", tiny)) {
      if (shape.path("asked").asBoolean(false) == asked) {
        List<Work> works =
            pages.valueStream().map(page -> Work.of(shape, 1, page.asInt())).toList();
        items.run(works.getFirst().key(), () -> measure(works));
      }
    }
    if (!asked) {
      for (JsonNode shape : BenchLines.shapes("attention_prefill", tiny)) {
        Work work = Work.of(shape, shape.get("context").asInt(), 16);
        items.run(work.key(), () -> measure(List.of(work)));
      }
    }
  }

  /** What is measured: so many sequences of the same context, the last tokens of which are new. */
  private record Work(
      int sequences, int context, int newTokens, int pageSize, AttentionShape shape) {

    static Work of(JsonNode shape, int newTokens, int pageSize) {
      int headDim = shape.get("head_dim").asInt();
      return new Work(
          shape.get("sequences").asInt(),
          shape.get("context").asInt(),
          newTokens,
          pageSize,
          new AttentionShape(
              shape.get("heads").asInt(),
              shape.get("kv_heads").asInt(),
              headDim,
              (float) (1 / Math.sqrt(headDim))));
    }

    String bench() {
      return newTokens == 1 ? "attention_decode_bf16" : "attention_prefill_bf16";
    }

    String key() {
      return bench() + " " + name();
    }

    String name() {
      return "%d x %d, %d/%d heads of %d"
          .formatted(sequences, context, shape.heads(), shape.kvHeads(), shape.headDim());
    }

    /** Pages of 16 are ours; others stand beside them. */
    String side() {
      return pageSize == 16 ? "lathe" : "lathe, pages of " + pageSize;
    }

    long cacheBytes() {
      return 2L * sequences * context * shape.kvHeads() * shape.headDim() * TYPE.bytes();
    }

    /** Keys and values once, queries and results in F32. */
    long bytes() {
      return cacheBytes() + 2L * 4 * sequences * newTokens * shape.heads() * shape.headDim();
    }

    /** Two products; causal among the new tokens. */
    long flops() {
      long pairs = (long) newTokens * context - (long) newTokens * (newTokens - 1) / 2;
      return 4L * sequences * pairs * shape.heads() * shape.headDim();
    }
  }

  private void measure(List<Work> works) {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, items, tiny);
      List<BenchLines.Side> sides = new ArrayList<>();
      for (Work work : works) {
        int copies = lines.copies(work.cacheBytes());
        Runner runner = new Runner(bench, work, copies);
        double difference = runner.check();
        items.row(
            BenchLines.row(work.bench(), work.name(), work.side())
                .put("difference", difference)
                .put("remark", "most that an element is from that of the general kernels"));
        sides.add(
            new BenchLines.Side(
                work.bench(),
                work.side(),
                copies,
                work.bytes(),
                work.flops(),
                "bf16",
                runner::call));
      }
      lines.time(works.getFirst().name(), sides);
    }
  }

  /** The calls, on copies of a random cache. */
  private static final class Runner {
    private final CudaBench bench;
    private final Work work;
    private final AttentionKernels kernels;
    private final List<KvLayer> caches = new ArrayList<>();
    private final BatchTensors batch;
    private final Tensor qkv;
    private final Tensor out;
    private final AttentionKernels.Scratch scratch;

    Runner(CudaBench bench, Work work, int copies) {
      this.bench = bench;
      this.work = work;
      AttentionShape shape = work.shape;
      kernels = new AttentionKernels(bench.kernels, bench.context.limits());
      batch = batch();
      int tokens = work.sequences * work.newTokens;
      qkv = BenchData.random(bench, DType.F32, 0, tokens, shape.queryKeyValueColumns());
      out = bench.device(DType.F32, tokens, (long) shape.heads() * shape.headDim());
      scratch =
          new AttentionKernels.Scratch(
              bench.device(DType.U8, kernels.workspaceBytes(shape, TYPE)),
              Optional.of(bench.up(bench.host(DType.I32, kernels.arrivals()))));
      long[] size = {
        batch.blocks().size(0), shape.kvHeads(), work.pageSize, shape.headDim(),
      };
      for (int i = 0; i < copies; i++) {
        caches.add(
            new KvLayer(
                BenchData.random(bench, TYPE, 2L * i + 1, size),
                BenchData.random(bench, TYPE, 2L * i + 2, size)));
      }
    }

    void call(long copy) {
      kernels.attention(out, qkv, work.shape, caches.get((int) copy), batch, scratch);
    }

    /**
     * How far the result is from that of the general kernels, which know no tensor cores.
     *
     * @throws IllegalStateException if further than rounding to BF16 explains
     */
    double check() {
      kernels.attention(out, qkv, work.shape, caches.getFirst(), batch, scratch);
      Tensor fast = bench.down(out);
      AttentionPlan plan =
          AttentionPlan.general(
              bench.context.limits(),
              work.shape,
              TYPE,
              new AttentionPlan.Sizes(
                  batch.tokenCount(),
                  batch.sequenceCount(),
                  batch.blocks().size(0),
                  work.pageSize));
      kernels.run(plan, out, qkv, work.shape, caches.getFirst(), batch, scratch);
      Tensor general = bench.down(out);
      double most = 0;
      for (long i = 0; i < fast.elements(); i++) {
        double difference = Math.abs(CudaBench.at(fast, i) - CudaBench.at(general, i));
        if (!(difference <= 0x1p-5)) {
          throw new IllegalStateException(
              "%s, %s: element %d is %s, by other kernels %s"
                  .formatted(
                      work.bench(),
                      work.name(),
                      i,
                      CudaBench.at(fast, i),
                      CudaBench.at(general, i)));
        }
        most = Math.max(most, difference);
      }
      return most;
    }

    private BatchTensors batch() {
      int pages = Math.ceilDiv(work.context, work.pageSize);
      List<Integer> blocks =
          new ArrayList<>(IntStream.range(0, pages * work.sequences).boxed().toList());
      Collections.shuffle(blocks, new Random(1));
      int tokens = work.sequences * work.newTokens;
      int[] contexts = new int[work.sequences];
      Arrays.fill(contexts, work.context);
      Tensor none = bench.up(bench.integers(new int[tokens]));
      return new BatchTensors(
          none,
          none,
          none,
          starts(work.newTokens),
          bench.up(bench.integers(contexts)),
          starts(pages),
          bench.up(bench.integers(blocks)),
          bench.up(bench.integers(0)));
    }

    private Tensor starts(int each) {
      return bench.up(
          bench.integers(IntStream.rangeClosed(0, work.sequences).map(s -> s * each).toArray()));
    }
  }
}
