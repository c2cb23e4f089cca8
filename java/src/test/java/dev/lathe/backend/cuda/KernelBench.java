package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.function.LongConsumer;
import java.util.stream.LongStream;
import jcuda.driver.JCudaDriver;
import tools.jackson.databind.JsonNode;

/**
 * The project's linear layers and the kernels that go through rows: a JSON object a line, as {@link
 * BenchLines} prints them, and on stderr what that is of the bandwidth that reading reached in the
 * same run. Not a test:
 *
 * <pre>java -cp CLASSPATH -Dlathe.root=. dev.lathe.backend.cuda.KernelBench [--tiny]</pre>
 *
 * <p>A linear layer is checked before it is timed. Single rows are too little for copies to exceed
 * the L2 cache: their times are of launches.
 */
public final class KernelBench {
  /** Rows of weights that are made; they are repeated until a weight is full. */
  private static final int BLOCK_ROWS = 32;

  /** Beyond this own kernels of these formats are not for: cuBLAS multiplies what they widen. */
  private static final int FEW_TOKENS = 64;

  /**
   * @param make rows of a weight of so many columns, on the host
   */
  private record Format(String bench, int mostTokens, Block make) {}

  private interface Block {
    Weight of(RowTensors tensors, int columns);
  }

  private static final List<Format> FORMATS =
      List.of(
          new Format(
              "linear_bf16", Integer.MAX_VALUE, (t, k) -> t.dense(DType.BF16, BLOCK_ROWS, k)),
          new Format("linear_f32", FEW_TOKENS, (t, k) -> t.dense(DType.F32, BLOCK_ROWS, k)),
          new Format(
              "linear_w8a16", FEW_TOKENS, (t, k) -> t.int8(DType.F32, false, k, BLOCK_ROWS, k)),
          new Format(
              "linear_bitmap_bf16",
              FEW_TOKENS,
              (t, k) -> t.bitmap(DType.BF16, DType.F32, false, 0.5, BLOCK_ROWS, k)));

  private final PrintStream out;
  private final PrintStream log;
  private final String[] arguments;
  private double readGbs;

  KernelBench(PrintStream out, PrintStream log, String... arguments) {
    this.out = out;
    this.log = log;
    this.arguments = arguments.clone();
  }

  public static void main(String[] arguments) throws IOException {
    if (CudaDriver.kind().emulated() && !List.of(arguments).contains("--tiny")) {
      System.err.println(
          "KernelBench: the emulated GPU has no speed; --tiny shows that the benchmark runs");
      System.exit(2);
    }
    new KernelBench(System.out, System.err, arguments).run();
  }

  void run() throws IOException {
    JsonNode shapes;
    boolean tiny;
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, out, arguments);
      shapes = lines.shapes("linear");
      tiny = lines.tiny();
      read(bench, lines);
    }
    for (JsonNode shape : shapes) {
      for (Format format : FORMATS) {
        if (shape.get("tokens").intValue() <= format.mostTokens) {
          // Memory of one case is freed before the next takes its own.
          try (CudaBench bench = new CudaBench()) {
            linear(bench, shape, format);
          }
        }
      }
    }
    for (int tokens : tiny ? new int[] {3} : new int[] {1, 32, 4096}) {
      rows(tokens, tiny ? new Sizes(64, 96, 4, 2, 16, 96) : Sizes.OF_8B);
    }
  }

  /** The most that any of them could reach. */
  private void read(CudaBench bench, BenchLines lines) {
    long bytes = lines.tiny() ? 1 << 16 : 1L << 30;
    long blocks = bench.context.limits().multiprocessors() * (lines.tiny() ? 1L : 4L);
    int threads = 512;
    Tensor buffer = zeros(bench, DType.F32, bytes / 4);
    Tensor sink = zeros(bench, DType.F32, blocks * threads);
    double[] samples =
        lines.time(
            "read_f32",
            bytes + " bytes",
            "lathe",
            bytes,
            0,
            1,
            _ ->
                bench
                    .kernels
                    .get("ceilings", "read_buffer")
                    .pointer(sink)
                    .pointer(buffer)
                    .i64(bytes / 16)
                    .i32(1)
                    .launch(blocks, 1, 1, threads, 0));
    readGbs = samples.length == 0 ? 0 : bytes / median(samples) / 1e3;
    tell("read_f32", bytes + " bytes", bytes, 0, samples);
  }

  private void linear(CudaBench bench, JsonNode shape, Format format) {
    int tokens = shape.get("tokens").intValue();
    int outputs = shape.get("outputs").intValue();
    int inputs = shape.get("inputs").intValue();
    BenchLines lines = new BenchLines(bench.context, out, arguments);
    RowTensors tensors = new RowTensors(bench, shape);
    Weight block = format.make.of(tensors, inputs);
    int repeats = outputs / BLOCK_ROWS;
    int copies = lines.copies(block.bytes() * repeats);
    List<Linear> layers =
        LongStream.range(0, copies)
            .mapToObj(_ -> Linear.of(repeated(bench, block, repeats)))
            .toList();
    Tensor x = tensors.normal(tokens, inputs);
    Tensor deviceX = bench.up(x);
    Tensor result = bench.device(DType.F32, tokens, outputs);
    LinearKernels kernels = bench.linearKernels();
    kernels.linear(result, deviceX, layers.getLast(), Epilogue.STORE);
    check(format.bench, bench.down(result), x, block);
    time(
        lines,
        format.bench,
        "%d x %d x %d".formatted(tokens, outputs, inputs),
        layers.getFirst().bytes() + 4L * tokens * (inputs + outputs),
        2L * tokens * outputs * inputs,
        copies,
        i -> kernels.linear(result, deviceX, layers.get((int) i), Epilogue.STORE));
  }

  /** Some of the results, against sums in double precision. */
  private static void check(String what, Tensor result, Tensor x, Weight block) {
    SplittableRandom random = new SplittableRandom(1);
    int inputs = (int) x.size(1);
    double[] weights = new double[inputs];
    for (int i = 0; i < 20; i++) {
      long token = random.nextLong(x.size(0));
      long output = random.nextLong(result.size(1));
      WeightRows.read(block, output % BLOCK_ROWS, weights);
      double sum = 0;
      double magnitude = 0;
      for (int c = 0; c < inputs; c++) {
        double product = weights[c] * CudaBench.at(x, token * inputs + c);
        sum += product;
        magnitude += Math.abs(product);
      }
      double is = CudaBench.at(result, token * result.size(1) + output);
      // A sum of that many terms; activations may have been rounded to BF16.
      double bound = magnitude * ((inputs + 4) * RowTensors.U + 0x1p-8);
      if (!(Math.abs(is - sum) <= bound)) {
        throw new IllegalStateException(
            "%s: [%d, %d] is %s, should be %s within %s"
                .formatted(what, token, output, is, sum, bound));
      }
    }
  }

  /** Sizes of a decoder. */
  private record Sizes(
      int hidden, int intermediate, int heads, int kvHeads, int headDim, int vocabulary) {
    static final Sizes OF_8B = new Sizes(4096, 14_336, 32, 8, 128, 128_256);
  }

  /** One kernel that goes through rows, on memory of its own. */
  private interface RowCase {
    LongConsumer launch(RowKernels kernels, CudaBench bench, int copies);
  }

  private void rows(int tokens, Sizes sizes) {
    int hidden = sizes.hidden;
    long row = 4L * hidden * tokens;
    String shape = "%d x %d".formatted(tokens, hidden);
    row(
        "rms_norm_f32",
        shape,
        2 * row,
        2 * row,
        (kernels, bench, copies) -> {
          Tensor[] x = many(bench, copies, tokens, hidden);
          Tensor[] y = many(bench, copies, tokens, hidden);
          Tensor w = ones(bench, hidden);
          return i -> kernels.rmsNorm(y[(int) i], x[(int) i], w, 1e-5f);
        });
    row(
        "add_rms_norm_f32",
        shape,
        3 * row,
        2 * row,
        (kernels, bench, copies) -> {
          Tensor[] x = many(bench, copies, tokens, hidden);
          Tensor[] y = many(bench, copies, tokens, hidden);
          Tensor w = zeros(bench, DType.F32, hidden);
          return i -> kernels.addRmsNorm(y[(int) i], x[(int) i], w, 1e-5f);
        });
    row(
        "layer_norm_f32",
        shape,
        2 * row,
        2 * row,
        (kernels, bench, copies) -> {
          Tensor[] x = many(bench, copies, tokens, hidden);
          Tensor[] y = many(bench, copies, tokens, hidden);
          Tensor w = ones(bench, hidden);
          return i -> kernels.layerNorm(y[(int) i], x[(int) i], w, w, 1e-5f);
        });
    row(
        "scale_f32",
        shape,
        2 * row,
        row,
        (kernels, bench, copies) -> {
          Tensor[] x = many(bench, copies, tokens, hidden);
          return i -> kernels.scale(x[(int) i], 1);
        });
    row(
        "gather_rows_f32",
        shape,
        2 * row,
        2 * row,
        (kernels, bench, copies) -> {
          Tensor[] x = many(bench, copies, tokens, hidden);
          Tensor[] y = many(bench, copies, tokens, hidden);
          Tensor ids = ids(bench, tokens, tokens, 1);
          return i -> kernels.gatherRows(y[(int) i], x[(int) i], ids);
        });
    long gated = 4L * tokens * sizes.intermediate;
    String wide = "%d x %d".formatted(tokens, sizes.intermediate);
    for (Activation activation : Activation.values()) {
      String name = "gate_" + activation.name().toLowerCase(Locale.ROOT) + "_f32";
      row(
          name,
          wide,
          3 * gated,
          3 * gated,
          (kernels, bench, copies) -> {
            Tensor[] x = many(bench, copies, tokens, 2 * sizes.intermediate);
            Tensor[] y = many(bench, copies, tokens, sizes.intermediate);
            return i -> kernels.gate(y[(int) i], x[(int) i], activation);
          });
    }
    AttentionShape heads = new AttentionShape(sizes.heads, sizes.kvHeads, sizes.headDim, 1);
    long normed = 4L * tokens * (sizes.heads + sizes.kvHeads) * sizes.headDim;
    String name = "%d x %d/%d x %d".formatted(tokens, sizes.heads, sizes.kvHeads, sizes.headDim);
    row(
        "norm_heads_f32",
        name,
        2 * normed,
        normed,
        (kernels, bench, copies) -> {
          Tensor[] x = many(bench, copies, tokens, heads.queryKeyValueColumns());
          Tensor w = ones(bench, sizes.headDim);
          return i -> kernels.normHeads(x[(int) i], w, w, heads, 1e-5f);
        });
    embedding("embedding_bf16", tokens, sizes, FORMATS.get(0).make);
    embedding("embedding_int8", tokens, sizes, FORMATS.get(2).make);
    embedding("embedding_bitmap_bf16", tokens, sizes, FORMATS.get(3).make);
  }

  /** Tokens at random, others in each copy. */
  private void embedding(String name, int tokens, Sizes sizes, Block make) {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, out, arguments);
      Weight block = make.of(new RowTensors(bench, name), sizes.hidden);
      Weight table = repeated(bench, block, sizes.vocabulary / BLOCK_ROWS);
      long bytes = table.bytes() / table.rows() * tokens + 4L * tokens * sizes.hidden;
      int copies = lines.copies(bytes);
      Tensor[] y = many(bench, copies, tokens, sizes.hidden);
      Tensor[] ids = new Tensor[copies];
      for (int i = 0; i < copies; i++) {
        ids[i] = ids(bench, tokens, sizes.vocabulary, i);
      }
      RowKernels kernels = new RowKernels(bench.kernels, bench.context.limits());
      time(
          lines,
          name,
          "%d x %d".formatted(tokens, sizes.hidden),
          bytes,
          0,
          copies,
          i -> kernels.embed(y[(int) i], table, ids[(int) i]));
    }
  }

  /**
   * @param bytes that move
   * @param copyBytes of one copy of what is read and written
   */
  private void row(String name, String shape, long bytes, long copyBytes, RowCase rowCase) {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, out, arguments);
      int copies = lines.copies(copyBytes);
      RowKernels kernels = new RowKernels(bench.kernels, bench.context.limits());
      time(lines, name, shape, bytes, 0, copies, rowCase.launch(kernels, bench, copies));
    }
  }

  private void time(
      BenchLines lines,
      String name,
      String shape,
      long bytes,
      long flops,
      int copies,
      LongConsumer launch) {
    double[] samples = lines.time(name, shape, "lathe", bytes, flops, copies, launch);
    tell(name, shape, bytes, flops, samples);
  }

  private void tell(String name, String shape, long bytes, long flops, double[] samples) {
    if (samples.length == 0) {
      log.println(name + " " + shape + ": ran, on what has no speed");
      return;
    }
    double[] sorted = samples.clone();
    Arrays.sort(sorted);
    double median = median(samples);
    double spread =
        (sorted[sorted.length * 9 / 10] - sorted[sorted.length / 10]) / 2 / median * 100;
    log.printf(
        Locale.ROOT,
        "%s %s: %.5f ms ± %.1f %%, %.0f GB/s, %.1f %% of what reading reached, %.1f TFLOP/s%n",
        name,
        shape,
        median / 1e3,
        spread,
        bytes / median / 1e3,
        100 * bytes / median / 1e3 / readGbs,
        flops / median / 1e6);
  }

  private static double median(double[] samples) {
    double[] sorted = samples.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  // What is in memory.

  /** On the device, the rows of a weight on the host again and again. */
  private static Weight repeated(CudaBench bench, Weight block, int times) {
    Function<Tensor, Tensor> repeat = tensor -> repeated(bench, tensor, times);
    return switch (block) {
      case Weight.Dense dense -> new Weight.Dense(repeat.apply(dense.values()));
      case Weight.Int8 int8 ->
          new Weight.Int8(
              repeat.apply(int8.values()),
              repeat.apply(int8.scales()),
              int8.zeroPoints().map(repeat));
      case Weight.Bitmap bitmap -> {
        long rows = bitmap.rows();
        Tensor offsets = bench.host(DType.I64, rows * times + 1);
        for (long r = 0; r <= rows * times; r++) {
          long within = bitmap.rowOffsets().memory().getAtIndex(ValueLayout.JAVA_LONG, r % rows);
          long start = r / rows * bitmap.values().size(0) + within;
          offsets.memory().setAtIndex(ValueLayout.JAVA_LONG, r, start);
        }
        yield new Weight.Bitmap(
            bitmap.cols(),
            repeat.apply(bitmap.bitmap()),
            bench.up(offsets),
            repeat.apply(bitmap.values()),
            Optional.empty(),
            Optional.empty());
      }
      case Weight.Stacked _ -> throw new IllegalArgumentException("a stack is not one matrix");
    };
  }

  private static Tensor repeated(CudaBench bench, Tensor host, int times) {
    long[] shape = host.shape();
    shape[0] *= times;
    Tensor device = bench.device(host.dtype(), shape);
    for (int i = 0; i < times; i++) {
      bench.context.check(
          JCudaDriver.cuMemcpyHtoD(
              new DevicePointer(device.address() + i * host.bytes()),
              new HostPointer(host.memory()),
              host.bytes()),
          "cuMemcpyHtoD");
    }
    return device;
  }

  private static Tensor[] many(CudaBench bench, int copies, int rows, int columns) {
    Tensor some = new RowTensors(bench, columns).normal(1, columns);
    Tensor[] tensors = new Tensor[copies];
    for (int i = 0; i < copies; i++) {
      tensors[i] = repeated(bench, some, rows);
    }
    return tensors;
  }

  private static Tensor ones(CudaBench bench, int count) {
    float[] values = new float[count];
    Arrays.fill(values, 1);
    return bench.up(bench.floats(values));
  }

  private static Tensor zeros(CudaBench bench, DType type, long count) {
    return bench.up(bench.host(type, count));
  }

  private static Tensor ids(CudaBench bench, int count, int below, long seed) {
    return bench.up(bench.integers(new SplittableRandom(seed).ints(count, 0, below).toArray()));
  }
}
