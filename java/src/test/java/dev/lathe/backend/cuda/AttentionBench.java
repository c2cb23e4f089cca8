package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.io.PrintStream;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import jcuda.driver.JCudaDriver;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Attention in decode and prefill, on the shapes of scripts/peers/shapes.json: a JSON object a
 * line, as scripts/gpu-check reads them, and on stderr GB/s and what that is of the measured
 * bandwidth. Not a test:
 *
 * <pre>java -cp CLASSPATH -Dlathe.root=. dev.lathe.backend.cuda.AttentionBench [--tiny]</pre>
 *
 * <p>A sample is one replay of a CUDA graph of many calls, by the device's clock, divided by their
 * number. The calls go through copies of the cache that exceed the L2 cache together several times;
 * pages lie in random order. What the emulated GPU takes is printed as no time at all.
 */
public final class AttentionBench {
  private static final long CACHE_BYTES = 160L << 20;
  private static final int SAMPLES = 31;
  private static final double SAMPLE_MICROSECONDS = 2000;
  private static final int MOST_CALLS = 4000;
  private static final DType TYPE = DType.BF16;

  private final PrintStream out;
  private final PrintStream log;
  private final boolean emulated = CudaDriver.kind().emulated();
  private final JsonMapper json = JsonMapper.builder().build();

  AttentionBench(PrintStream out, PrintStream log) {
    this.out = out;
    this.log = log;
  }

  public static void main(String[] args) {
    boolean tiny = Arrays.asList(args).contains("--tiny");
    if (CudaDriver.kind().emulated() && !tiny) {
      System.err.println(
          "AttentionBench: the emulated GPU has no speed; --tiny shows that the benchmark runs");
      System.exit(2);
    }
    Path root = Path.of(System.getProperty("lathe.root", "."));
    new AttentionBench(System.out, System.err).run(root, tiny);
  }

  void run(Path root, boolean tiny) {
    JsonNode shapes =
        json.readTree(root.resolve("scripts/peers/shapes.json")).get(tiny ? "tiny" : "full");
    double readGbs = emulated ? 0 : ceilings().readBandwidthGbs();
    for (JsonNode shape : shapes.get("attention_decode")) {
      for (JsonNode pageSize : shapes.get("pages")) {
        measure(Work.of(shape, 1, pageSize.asInt()), readGbs);
      }
    }
    for (JsonNode shape : shapes.get("attention_prefill")) {
      measure(Work.of(shape, shape.get("context").asInt(), 16), readGbs);
    }
  }

  private Ceilings ceilings() {
    try (CudaContext context = CudaContext.open();
        CudaKernels kernels = new CudaKernels(context);
        CudaPool pool = CudaMemory.newPool(context)) {
      Ceilings measured = new CudaCeilings(context, kernels, pool).measure(1L << 30);
      log.printf("read bandwidth %.0f GB/s%n", measured.readBandwidthGbs());
      return measured;
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

  private void measure(Work work, double readGbs) {
    ObjectNode line = json.createObjectNode();
    line.put("bench", work.bench()).put("shape", work.name()).put("side", work.side());
    try (CudaBench bench = new CudaBench();
        CudaGraphs graphs = new CudaGraphs(bench.context);
        CudaTimer timer = new CudaTimer(bench.context)) {
      int copies = emulated ? 2 : Math.clamp(Math.ceilDiv(CACHE_BYTES, work.cacheBytes()), 2, 512);
      Runner runner = new Runner(bench, work, copies);
      line.put("difference", runner.check());
      if (emulated) {
        graphs.run("tiny", () -> runner.calls(copies));
        graphs.run("tiny", () -> runner.calls(copies));
        bench.context.synchronize();
        line.put("remark", "ran on the emulated GPU: no time of it is a speed");
        out.println(json.writeValueAsString(line));
        return;
      }
      timer.start();
      runner.calls(copies);
      double rough = Math.max(0.1, timer.stopNanos() / 1e3 / copies);
      int rounds = (int) Math.max(1, Math.round(SAMPLE_MICROSECONDS / rough / copies));
      int calls = Math.clamp((long) copies * rounds, copies, Math.max(copies, MOST_CALLS));
      double[] samples = new double[SAMPLES];
      for (int i = -3; i < SAMPLES; i++) { // runs, is captured, and warms up
        timer.start();
        graphs.run(work, () -> runner.calls(calls));
        double microseconds = timer.stopNanos() / 1e3 / calls;
        if (i >= 0) {
          samples[i] = microseconds;
        }
      }
      line.set("samples_us", json.valueToTree(samples));
      line.put("bytes", work.bytes()).put("flops", work.flops());
      line.put("copies", copies).put("calls_a_sample", calls).put("read_gbs", readGbs);
      out.println(json.writeValueAsString(line));
      double median = Arrays.stream(samples).sorted().toArray()[SAMPLES / 2];
      double gbs = work.bytes() / median / 1e3;
      log.printf(
          "%s %s, %s: %.1f us, %.0f GB/s, %.1f %% of the measured bandwidth, %.1f TFLOP/s%n",
          work.bench(),
          work.name(),
          work.side(),
          median,
          gbs,
          100 * gbs / readGbs,
          work.flops() / median / 1e6);
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
      qkv = random(DType.F32, tokens, shape.queryKeyValueColumns());
      out = bench.device(DType.F32, tokens, (long) shape.heads() * shape.headDim());
      scratch =
          new AttentionKernels.Scratch(
              bench.device(DType.U8, kernels.workspaceBytes(shape, TYPE)),
              Optional.of(bench.up(bench.host(DType.I32, kernels.arrivals()))));
      long[] size = {
        batch.blocks().size(0), shape.kvHeads(), work.pageSize, shape.headDim(),
      };
      for (int i = 0; i < copies; i++) {
        caches.add(new KvLayer(random(TYPE, size), random(TYPE, size)));
      }
    }

    void calls(int count) {
      for (int i = 0; i < count; i++) {
        kernels.attention(out, qkv, work.shape, caches.get(i % caches.size()), batch, scratch);
      }
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

    /** Normally distributed, a block of them again and again. */
    private Tensor random(DType type, long... shape) {
      Tensor device = bench.device(type, shape);
      Tensor block = bench.host(type, Math.min(Tensor.elements(shape), (1 << 20) + 1));
      Random random = new Random(device.address());
      for (long i = 0; i < block.elements(); i++) {
        float value = (float) random.nextGaussian();
        if (type == DType.F32) {
          block.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
        } else {
          short bits = (short) (Float.floatToRawIntBits(value) >>> 16);
          block.memory().setAtIndex(ValueLayout.JAVA_SHORT, i, bits);
        }
      }
      for (long at = 0; at < device.bytes(); at += block.bytes()) {
        bench.context.check(
            JCudaDriver.cuMemcpyHtoD(
                new DevicePointer(device.address() + at),
                new HostPointer(block.memory()),
                Math.min(block.bytes(), device.bytes() - at)),
            "cuMemcpyHtoD");
      }
      return device;
    }
  }
}
