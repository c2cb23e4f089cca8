package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.gpucheck.Items;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;

/**
 * Attention in decode and prefill, on the shapes of scripts/peers/shapes.json; decode with pages of
 * several sizes in turns, and with an INT8 cache beside BF16's. Pages lie in random order. What is
 * timed is checked before, against kernels that know no tensor cores.
 */
final class AttentionBench {
  /** Pages of an INT8 cache that are made on the host; the others repeat them. */
  private static final int PAGES_MADE = 64;

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
        List<Work> works = new ArrayList<>();
        pages.valueStream().forEach(page -> works.add(Work.of(shape, DType.BF16, 1, page.asInt())));
        works.add(Work.of(shape, DType.I8, 1, 16));
        items.run(works.getFirst().key(), () -> measure(works));
      }
    }
    if (!asked) {
      for (JsonNode shape : BenchLines.shapes("attention_prefill", tiny)) {
        int context = shape.get("context").asInt();
        List<Work> works =
            List.of(Work.of(shape, DType.BF16, context, 16), Work.of(shape, DType.I8, context, 16));
        items.run(works.getFirst().key(), () -> measure(works));
      }
    }
  }

  /** What is measured: so many sequences of the same context, the last tokens of which are new. */
  private record Work(
      DType type, int sequences, int context, int newTokens, int pageSize, AttentionShape shape) {

    static Work of(JsonNode shape, DType type, int newTokens, int pageSize) {
      int headDim = shape.get("head_dim").asInt();
      return new Work(
          type,
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
      return (newTokens == 1 ? "attention_decode" : "attention_prefill")
          + (type == DType.I8 ? "_int8" : "_bf16");
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
      return 2L * sequences * context * shape.kvHeads() * KvLayer.rowBytes(type, shape.headDim());
    }

    /** How far tensor cores may be from kernels without: beside INT8 they multiply in F16. */
    double tolerance() {
      return type == DType.I8 ? 0x1p-9 : 0x1p-5;
    }

    /** Keys and values once, with their scales; queries and results in F32. */
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
              bench.device(DType.U8, kernels.workspaceBytes(shape, work.type)),
              Optional.of(bench.up(bench.host(DType.I32, kernels.arrivals()))));
      if (work.type == DType.I8) {
        addInt8Caches(copies);
        return;
      }
      for (int i = 0; i < copies; i++) {
        caches.add(cache(i));
      }
    }

    private KvLayer cache(int seed) {
      AttentionShape shape = work.shape;
      long[] size =
          KvLayer.shape(
              work.type, batch.blocks().size(0), shape.kvHeads(), work.pageSize, shape.headDim());
      return new KvLayer(
          BenchData.random(bench, work.type, 2L * seed + 1, size),
          BenchData.random(bench, work.type, 2L * seed + 2, size));
    }

    /** Rows that were quantized, some pages of them again and again, the same in all copies. */
    private void addInt8Caches(int copies) {
      AttentionShape shape = work.shape;
      int pages = Math.toIntExact(batch.blocks().size(0));
      int made = Math.min(pages, PAGES_MADE);
      long[] size = KvLayer.shape(DType.I8, made, shape.kvHeads(), work.pageSize, shape.headDim());
      KvLayer host = new KvLayer(bench.host(DType.I8, size), bench.host(DType.I8, size));
      SplittableRandom random = new SplittableRandom(1);
      float[] row = new float[shape.headDim()];
      for (Tensor part : List.of(host.keys(), host.values())) {
        for (int r = 0; r < made * shape.kvHeads() * work.pageSize; r++) {
          for (int i = 0; i < row.length; i++) {
            row[i] = (float) random.nextGaussian();
          }
          int head = r / work.pageSize;
          KvRows.write(
              host, part, head / shape.kvHeads(), head % shape.kvHeads(), r % work.pageSize, row);
        }
      }
      int times = Math.ceilDiv(pages, made);
      for (int i = 0; i < copies; i++) {
        caches.add(
            new KvLayer(
                BenchData.repeated(bench, host.keys(), times),
                BenchData.repeated(bench, host.values(), times)));
      }
    }

    void call(long copy) {
      kernels.attention(out, qkv, work.shape, caches.get((int) copy), batch, scratch);
    }

    /**
     * How far the result is from that of the general kernels, which know no tensor cores.
     *
     * @throws IllegalStateException if further than rounding to BF16, or F16, explains
     */
    double check() {
      kernels.attention(out, qkv, work.shape, caches.getFirst(), batch, scratch);
      Tensor fast = bench.down(out);
      AttentionPlan plan =
          AttentionPlan.general(
              bench.context.limits(),
              work.shape,
              work.type,
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
        if (!(difference <= work.tolerance())) {
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
