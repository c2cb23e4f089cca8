package dev.lathe.backend.cpu;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * How near the CPU kernels come to what this machine gives, and to ND4J, in one run. Not a test:
 *
 * <pre>mvn -q test-compile org.codehaus.mojo:exec-maven-plugin:exec -pl native,java \
 *   -Dexec.executable=java -Dexec.classpathScope=test \
 *   -Dexec.args="-cp %classpath --enable-native-access=ALL-UNNAMED dev.lathe.backend.cpu.CpuBench 2"
 * </pre>
 *
 * <p>With {@code -Dlathe.bench.cputime=true} and one thread, processor time is taken instead of
 * elapsed time, for machines that are busy with something else. Figures are medians. Weights that
 * are streamed come from a ring larger than any cache.
 */
public final class CpuBench {
  private static final long RING_BYTES = 192L << 20;

  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

  private CpuBench() {}

  public static void main(String[] args) {
    int threads = args.length > 0 ? Integer.parseInt(args[0]) : 2;
    List<String> parts =
        args.length > 1
            ? List.of(args[1].split(","))
            : List.of("stream", "gemm", "step", "prefill");
    CpuCeilings ceilings = CpuCeilings.measure(threads);
    System.out.printf(
        "%d threads: read %.1f GB/s, peak %.0f GFLOP/s%n",
        threads, ceilings.readBandwidthGbs(), ceilings.peakGflops());
    try (CpuBackend own = CpuBackend.open(threads);
        Nd4jBackend nd4j = Nd4jBackend.open(threads)) {
      System.out.println(own.device());
      if (parts.contains("stream")) {
        stream(own, ceilings);
      }
      if (parts.contains("gemm")) {
        gemm(own, nd4j, ceilings);
      }
      if (parts.contains("step")) {
        step(own, 1, 256);
        step(own, 8, 256);
      }
      if (parts.contains("prefill")) {
        prefill(own, 512, new AttentionShape(8, 4, 8, 0.35f));
        prefill(own, 512, new AttentionShape(8, 4, 128, 0.09f));
      }
    }
  }

  private static void stream(CpuBackend backend, CpuCeilings ceilings) {
    System.out.println(
        "streamed weights: tokens, format, [rows, cols], GB/s, of the read bandwidth");
    for (long[] shape : new long[][] {{2048, 2048}, {8192, 2048}}) {
      for (String format : List.of("f32", "bf16", "int8", "int8/128", "bitmap(bf16)")) {
        try (DeviceMemory memory = backend.allocateMemory()) {
          List<Linear> ring = new ArrayList<>();
          long bytes = 0;
          while (bytes < RING_BYTES) {
            Weight weight = weight(format, shape[0], shape[1], memory);
            ring.add(Linear.of(backend.place(weight, memory)));
            bytes += weight.bytes();
          }
          for (int tokens : new int[] {1, 4, 8, 16}) {
            Tensor x = fill(memory.tensor(DType.F32, tokens, shape[1]));
            Tensor out = memory.tensor(DType.F32, tokens, shape[0]);
            int[] next = {0};
            double nanos =
                median(
                    3 * ring.size(),
                    () ->
                        backend.linear(out, x, ring.get(next[0]++ % ring.size()), Epilogue.STORE));
            double gbs = ring.getFirst().bytes() / nanos;
            System.out.printf(
                "  %2d %-13s %s %6.1f GB/s %3.0f %%  %6.0f GFLOP/s%n",
                tokens,
                format,
                Arrays.toString(shape),
                gbs,
                100 * gbs / ceilings.readBandwidthGbs(),
                2.0 * tokens * shape[0] * shape[1] / nanos);
          }
        }
      }
    }
  }

  private static void gemm(CpuBackend own, Nd4jBackend nd4j, CpuCeilings ceilings) {
    System.out.println("products: tokens x inputs x outputs, GFLOP/s, of the peak; nd4j; ratio");
    long[][] shapes = {
      {512, 64, 64},
      {512, 64, 192},
      {512, 64, 344},
      {512, 172, 64},
      {512, 64, 512},
      {128, 512, 512},
      {512, 2048, 2048},
      {512, 2048, 8192}
    };
    for (long[] shape : shapes) {
      for (String format : List.of("f32", "bf16", "int8")) {
        try (DeviceMemory memory = own.allocateMemory()) {
          Weight weight = weight(format, shape[2], shape[1], memory);
          Linear layer = Linear.of(own.place(weight, memory));
          Linear dense = Linear.of(nd4j.place(weight, memory));
          Tensor x = fill(memory.tensor(DType.F32, shape[0], shape[1]));
          Tensor out = memory.tensor(DType.F32, shape[0], shape[2]);
          double flops = 2.0 * shape[0] * shape[1] * shape[2];
          int runs = (int) Math.max(9, Math.min(300, 4e9 / flops));
          double[] mine = new double[runs];
          double[] theirs = new double[runs];
          double[] ratios = new double[runs];
          for (int i = -runs / 3; i < runs; i++) {
            double a =
                time(() -> {
                  own.linear(out, x, layer, Epilogue.STORE);
                  own.synchronize();
                });
            double b = time(() -> nd4j.linear(out, x, dense, Epilogue.STORE));
            if (i >= 0) {
              mine[i] = a;
              theirs[i] = b;
              ratios[i] = b / a;
            }
          }
          double rate = flops / median(mine);
          System.out.printf(
              "  %-5s %-18s %6.1f GFLOP/s %3.0f %%  nd4j %6.1f  ratio %.2f%n",
              format,
              Arrays.toString(shape),
              rate,
              100 * rate / ceilings.peakGflops(),
              flops / median(theirs),
              median(ratios));
        }
      }
    }
  }

  /** The calls of one decode step of a decoder of 260 thousand parameters. */
  private static void step(Backend backend, int tokens, int context) {
    AttentionShape shape = new AttentionShape(8, 4, 8, 0.35f);
    try (DeviceMemory memory = backend.allocateMemory()) {
      BatchTensors batch = decode(memory, tokens, context);
      KvLayer cache = cache(memory, shape, batch);
      Tensor h = fill(memory.tensor(DType.F32, tokens, 64));
      Tensor x = fill(memory.tensor(DType.F32, tokens, 64));
      Tensor norm = fill(memory.tensor(DType.F32, 64));
      Tensor rotations = fill(memory.tensor(DType.F32, 512, 8));
      Tensor qkv = fill(memory.tensor(DType.F32, tokens, 128));
      Tensor gateUp = fill(memory.tensor(DType.F32, tokens, 344));
      Tensor f = fill(memory.tensor(DType.F32, tokens, 172));
      Tensor logits = memory.tensor(DType.F32, tokens, 512);
      Linear queryKeyValue =
          placed(
              backend,
              memory,
              new Weight.Stacked(
                  List.of(
                      weight("f32", 64, 64, memory),
                      weight("f32", 32, 64, memory),
                      weight("f32", 32, 64, memory))));
      Linear output = placed(backend, memory, weight("f32", 64, 64, memory));
      Linear gate =
          placed(
              backend,
              memory,
              new Weight.Stacked(
                  List.of(weight("f32", 172, 64, memory), weight("f32", 172, 64, memory))));
      Linear down = placed(backend, memory, weight("f32", 64, 172, memory));
      Linear head = placed(backend, memory, weight("f32", 512, 64, memory));
      List<String> names =
          List.of(
              "embed",
              "rmsNorm",
              "qkv",
              "rotate",
              "attention",
              "output",
              "gateUp",
              "gate",
              "down",
              "head");
      List<Runnable> calls =
          List.of(
              () -> backend.embed(x, head.weight(), batch.tokens()),
              () -> backend.rmsNorm(h, x, norm, 1e-5f),
              () -> backend.linear(qkv, h, queryKeyValue, Epilogue.STORE),
              () -> backend.rotateAndAppend(qkv, rotations, shape, cache, batch),
              () -> backend.attention(x, qkv, shape, cache, batch),
              () -> backend.linear(h, x, output, Epilogue.STORE),
              () -> backend.linear(gateUp, h, gate, Epilogue.STORE),
              () -> backend.gate(f, gateUp, Activation.SILU),
              () -> backend.linear(h, f, down, Epilogue.STORE),
              () -> backend.linear(logits, h, head, Epilogue.STORE));
      int[] times = {1, 11, 5, 5, 5, 5, 5, 5, 5, 1};
      System.out.printf("decode, %d sequences of %d tokens, per call:%n", tokens, context);
      double total = 0;
      for (int i = 0; i < calls.size(); i++) {
        Runnable call = calls.get(i);
        int inner = 50;
        double nanos =
            median(
                    400,
                    () -> {
                      for (int k = 0; k < inner; k++) {
                        call.run();
                      }
                      backend.synchronize();
                    })
                / inner;
        total += nanos * times[i];
        System.out.printf("  %-10s %7.0f ns%n", names.get(i), nanos);
      }
      System.out.printf("  a step of 5 layers: %.1f us%n", total / 1e3);
    }
  }

  private static void prefill(Backend backend, int tokens, AttentionShape shape) {
    try (DeviceMemory memory = backend.allocateMemory()) {
      int pages = tokens / 16;
      BatchTensors batch =
          new BatchTensors(
              integers(memory, new int[tokens]),
              integers(memory, new int[tokens]),
              integers(memory, new int[tokens]),
              integers(memory, 0, tokens),
              integers(memory, tokens),
              integers(memory, 0, pages),
              integers(memory, IntStream.range(0, pages).toArray()),
              integers(memory, 0));
      KvLayer cache = cache(memory, shape, batch);
      Tensor qkv = fill(memory.tensor(DType.F32, tokens, shape.queryKeyValueColumns()));
      Tensor out = memory.tensor(DType.F32, tokens, (long) shape.heads() * shape.headDim());
      double nanos = median(15, () -> backend.attention(out, qkv, shape, cache, batch));
      double flops = 2.0 * tokens * (tokens + 1) * shape.heads() * shape.headDim();
      System.out.printf(
          "attention over a prompt of %d, %s: %.0f us, %.1f GFLOP/s%n",
          tokens, shape, nanos / 1e3, flops / nanos);
    }
  }

  private static BatchTensors decode(DeviceMemory memory, int sequences, int context) {
    int pages = context / 16;
    int[] starts = IntStream.rangeClosed(0, sequences).toArray();
    int[] contexts = new int[sequences];
    int[] slots = new int[sequences];
    int[] positions = new int[sequences];
    Arrays.fill(contexts, context);
    Arrays.fill(positions, context - 1);
    for (int s = 0; s < sequences; s++) {
      slots[s] = (s + 1) * context - 1;
    }
    return new BatchTensors(
        integers(memory, new int[sequences]),
        integers(memory, positions),
        integers(memory, slots),
        integers(memory, starts),
        integers(memory, contexts),
        integers(memory, Arrays.stream(starts).map(s -> s * pages).toArray()),
        integers(memory, IntStream.range(0, sequences * pages).toArray()),
        integers(memory, Arrays.copyOf(starts, sequences)));
  }

  private static KvLayer cache(DeviceMemory memory, AttentionShape shape, BatchTensors batch) {
    long[] size = {batch.blocks().size(0), shape.kvHeads(), 16, shape.headDim()};
    return new KvLayer(fill(memory.tensor(DType.F32, size)), fill(memory.tensor(DType.F32, size)));
  }

  private static Linear placed(Backend backend, DeviceMemory memory, Weight weight) {
    return Linear.of(backend.place(weight, memory));
  }

  private static Weight weight(String format, long rows, long cols, DeviceMemory memory) {
    return switch (format) {
      case "f32" -> new Weight.Dense(fill(memory.tensor(DType.F32, rows, cols)));
      case "bf16" -> new Weight.Dense(fill(memory.tensor(DType.BF16, rows, cols)));
      case "int8" -> int8(rows, cols, 1, memory);
      case "int8/128" -> int8(rows, cols, cols / 128, memory);
      case "bitmap(bf16)" -> bitmap(rows, cols, memory);
      default -> throw new IllegalArgumentException(format);
    };
  }

  private static Weight int8(long rows, long cols, long groups, DeviceMemory memory) {
    Tensor values = memory.tensor(DType.I8, rows, cols);
    for (long i = 0; i < values.elements(); i++) {
      values.memory().set(ValueLayout.JAVA_BYTE, i, (byte) (i * 31));
    }
    return new Weight.Int8(values, fill(memory.tensor(DType.BF16, rows, groups)), Optional.empty());
  }

  /** Half of the weights are kept. */
  private static Weight bitmap(long rows, long cols, DeviceMemory memory) {
    Tensor bits = memory.tensor(DType.U8, rows, cols / 8);
    Tensor offsets = memory.tensor(DType.I64, rows + 1);
    for (long i = 0; i < bits.elements(); i++) {
      bits.memory().set(ValueLayout.JAVA_BYTE, i, (byte) (i % 3 == 0 ? 0x5a : 0xb8));
    }
    for (long r = 0; r <= rows; r++) {
      offsets.memory().setAtIndex(ValueLayout.JAVA_LONG, r, r * cols / 2);
    }
    Tensor values = fill(memory.tensor(DType.BF16, rows * cols / 2));
    return new Weight.Bitmap(cols, bits, offsets, values, Optional.empty(), Optional.empty());
  }

  private static Tensor fill(Tensor tensor) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, (i * 7 % 23 - 11) * 0.05f);
    }
    return tensor;
  }

  private static Tensor integers(DeviceMemory memory, int... values) {
    Tensor tensor = memory.tensor(DType.I32, values.length);
    MemorySegment.copy(values, 0, tensor.memory(), ValueLayout.JAVA_INT, 0, values.length);
    return tensor;
  }

  private static double median(int runs, Runnable call) {
    double[] nanos = new double[runs];
    for (int i = -runs / 2; i < runs; i++) {
      double took = time(call);
      if (i >= 0) {
        nanos[i] = took;
      }
    }
    return median(nanos);
  }

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  /** Alone, a thread's own time is taken: it leaves out what other programs took meanwhile. */
  private static double time(Runnable call) {
    boolean alone = Boolean.getBoolean("lathe.bench.cputime");
    long start = alone ? THREADS.getCurrentThreadCpuTime() : System.nanoTime();
    call.run();
    return (alone ? THREADS.getCurrentThreadCpuTime() : System.nanoTime()) - start;
  }
}
