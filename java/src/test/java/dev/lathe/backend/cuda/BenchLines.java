package dev.lathe.backend.cuda;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Times kernels as {@code scripts/peers} times PyTorch's, on the same shapes, and prints a JSON
 * object a line for {@code scripts/gpu-check}: each sample is one replay of a CUDA graph of many
 * launches, by the device's clock, divided by their number. Launches go through copies of their
 * weights that together exceed the L2 cache several times, as the layers of a model do.
 *
 * <pre>{@code
 * try (CudaBench bench = new CudaBench()) {
 *   BenchLines lines = new BenchLines(bench.context, arguments);
 *   for (JsonNode shape : lines.shapes("linear")) {
 *     ...
 *     lines.time("linear_bf16", "1 x 8192 x 8192", "lathe", bytes, flops, copies, i -> launch(i));
 *   }
 * }
 * }</pre>
 *
 * <p>With {@code --tiny} shapes are such that the emulated GPU can show that all of it works.
 */
final class BenchLines {
  /** As in scripts/peers/timing.py. */
  private static final long CACHE_BYTES = 160L << 20;

  private static final int SAMPLES = 31;
  private static final double SAMPLE_NANOS = 2e6;
  private static final int MOST_LAUNCHES = 4000;
  private static final int MOST_COPIES = 512;
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final CudaContext context;
  private final boolean tiny;
  private final PrintStream out;

  /**
   * @param arguments of the program: nothing, or {@code --tiny}
   */
  BenchLines(CudaContext context, String... arguments) {
    this(context, System.out, arguments);
  }

  BenchLines(CudaContext context, PrintStream out, String... arguments) {
    this.context = context;
    this.out = out;
    this.tiny = List.of(arguments).contains("--tiny");
    if (!tiny && CudaDriver.kind().emulated()) {
      throw new IllegalArgumentException("the emulated GPU runs --tiny shapes only");
    }
  }

  boolean tiny() {
    return tiny;
  }

  /**
   * The shapes of a family that both sides are timed on: {@code linear}, {@code attention_decode},
   * {@code attention_prefill}, {@code pages}.
   */
  JsonNode shapes(String family) throws IOException {
    Path file = Path.of(System.getProperty("lathe.root"), "scripts/peers/shapes.json");
    JsonNode shapes = JSON.readTree(Files.readString(file)).get(tiny ? "tiny" : "full").get(family);
    if (shapes == null) {
      throw new IllegalArgumentException(file + " has no shapes of " + family);
    }
    return shapes;
  }

  /** How many copies of inputs of so many bytes it takes to be sure that none is in the cache. */
  int copies(long inputBytes) {
    return tiny
        ? 2
        : Math.clamp(Math.ceilDiv(CACHE_BYTES, Math.max(1, inputBytes)), 1, MOST_COPIES);
  }

  /**
   * Times {@code launch} and prints the line.
   *
   * @param bench what is computed, in which types; with {@code shape} as the peers call it
   * @param side whose kernel: {@code lathe}, {@code cublas}, or {@code lathe/} and a variant
   * @param bytes that have to move at least
   * @param flops a multiply-add is two
   * @param copies of the inputs that there are
   * @param launch puts one launch on the context's stream, on the inputs of the index it gets; has
   *     to be one that a graph can capture
   * @return the samples, in microseconds; none of the emulated GPU
   */
  double[] time(
      String bench,
      String shape,
      String side,
      long bytes,
      long flops,
      int copies,
      LongConsumer launch) {
    if (CudaDriver.kind().emulated()) {
      show(bench, shape, side, copies, launch);
      return new double[0];
    }
    List<Double> samples = new ArrayList<>();
    int launches;
    try (CudaTimer timer = new CudaTimer(context);
        CudaGraphs graphs = new CudaGraphs(context)) {
      Runnable round = () -> repeat(copies, copies, launch);
      round.run(); // loads modules, touches every copy
      timer.start();
      round.run();
      double rough = Math.max(100, timer.stopNanos() / (double) copies);
      int rounds = (int) Math.max(1, Math.round(SAMPLE_NANOS / rough / copies));
      launches = Math.min(MOST_LAUNCHES, copies * rounds);
      Runnable all = () -> repeat(launches, copies, launch);
      graphs.run("all", all); // just runs
      graphs.run("all", all); // is captured, and launched once to warm up
      for (int i = 0; i < SAMPLES; i++) {
        timer.start();
        graphs.run("all", all);
        samples.add(timer.stopNanos() / 1e3 / launches);
      }
    }
    ObjectNode line = line(bench, shape, side);
    ArrayNode list = line.putArray("samples_us");
    samples.forEach(list::add);
    line.put("bytes", bytes);
    line.put("flops", flops);
    line.put("copies", copies);
    line.put("calls_a_sample", launches);
    out.println(line);
    return samples.stream().mapToDouble(Double::doubleValue).toArray();
  }

  /** What the emulated GPU takes is no time of anything, and none is printed. */
  private void show(String bench, String shape, String side, int copies, LongConsumer launch) {
    try (CudaGraphs graphs = new CudaGraphs(context)) {
      for (int i = 0; i < 2; i++) { // runs, then is captured and launched
        graphs.run("all", () -> repeat(copies, copies, launch));
      }
      context.synchronize();
    }
    ObjectNode line = line(bench, shape, side);
    line.put("remark", "ran on the emulated GPU, whose times are no speed");
    out.println(line);
  }

  /** Says that a side can't compute a shape, and why: a finding, which the report keeps. */
  void cannot(String bench, String shape, String side, String why) {
    ObjectNode line = line(bench, shape, side);
    line.put("error", why);
    out.println(line);
  }

  private static ObjectNode line(String bench, String shape, String side) {
    ObjectNode line = JSON.createObjectNode();
    line.put("bench", bench);
    line.put("shape", shape);
    line.put("side", side);
    return line;
  }

  private static void repeat(int launches, int copies, LongConsumer launch) {
    for (int i = 0; i < launches; i++) {
      launch.accept(i % copies);
    }
  }
}
