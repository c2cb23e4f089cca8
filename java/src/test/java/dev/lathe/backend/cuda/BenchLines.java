package dev.lathe.backend.cuda;

import dev.lathe.gpucheck.Items;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import jcuda.driver.CUdevice_attribute;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Times kernels as {@code scripts/peers} times PyTorch's, on the same shapes, and prints a JSON
 * object a line for {@code scripts/gpu-check}. Each sample is one replay of a CUDA graph of many
 * launches, by the device's clock, divided by their number. Launches go through copies of their
 * inputs that together exceed the L2 cache several times, as the layers of a model do. Sides that
 * are to be compared are timed in turns, a sample of each and again, so that a clock that changes
 * changes both; all samples are queued at once, so that the device never waits for the host.
 *
 * <pre>{@code
 * BenchLines lines = new BenchLines(bench.context, items, tiny);
 * lines.time("1 x 8192 x 8192", List.of(
 *     new Side("linear_bf16", "lathe", copies, bytes, flops, "bf16", i -> launch(i)),
 *     new Side("linear_bf16", "cublas", copies, bytes, flops, "bf16", i -> gemm(i))));
 * }</pre>
 *
 * <p>With {@code tiny} shapes are such that the emulated GPU can show that all of it works.
 */
final class BenchLines {
  /** As in scripts/peers/timing.py; below, a part of what was read is still in the cache. */
  private static final long CACHE_BYTES = 512L << 20;

  private static final int CACHES = 8;
  private static final int SAMPLES = 31;
  private static final double SAMPLE_MICROS = 2000;

  /** Some 50 ms: clocks of a device that waited for data take a while to rise. */
  private static final int WARM_UPS = 14;

  private static final int MOST_LAUNCHES = 4000;
  private static final int MOST_COPIES = 512;
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final CudaContext context;
  private final Items items;
  private final boolean tiny;

  BenchLines(CudaContext context, Items items, boolean tiny) {
    this.context = context;
    this.items = items;
    this.tiny = tiny;
    requireSpeed(tiny);
  }

  /**
   * @throws IllegalArgumentException if real sizes are to be timed on what has no speed
   */
  static void requireSpeed(boolean tiny) {
    if (!tiny && CudaDriver.kind().emulated()) {
      throw new IllegalArgumentException(
          "the emulated GPU has no speed; --tiny shows that the benchmark runs");
    }
  }

  /**
   * One of those that are timed in turns.
   *
   * @param bench what is computed, in which types; with the shape as the peers call it
   * @param name whose kernel: {@code lathe}, {@code cublas}, or {@code lathe, } and a variant
   * @param copies of the inputs that there are
   * @param bytes that have to move at least
   * @param flops a multiply-add is two
   * @param arithmetic what multiplies at best: {@code bf16}, {@code int8}, {@code f32}, or nothing
   * @param launch puts one launch on the context's stream, on the inputs of the index it gets; has
   *     to be one that a graph can capture
   */
  record Side(
      String bench,
      String name,
      int copies,
      long bytes,
      long flops,
      String arithmetic,
      LongConsumer launch) {}

  /**
   * The shapes of a family that both sides are timed on: {@code linear}, {@code attention_decode},
   * {@code attention_prefill}, {@code pages}.
   */
  static JsonNode shapes(String family, boolean tiny) {
    Path file = Path.of(System.getProperty("lathe.root"), "scripts/peers/shapes.json");
    try {
      JsonNode shapes =
          JSON.readTree(Files.readString(file)).get(tiny ? "tiny" : "full").get(family);
      if (shapes == null) {
        throw new IllegalArgumentException(file + " has no shapes of " + family);
      }
      return shapes;
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  /** How many copies of inputs of so many bytes it takes to be sure that none is in the cache. */
  int copies(long inputBytes) {
    if (tiny) {
      return 2;
    }
    long cache = context.attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
    long bytes = Math.max(CACHE_BYTES, CACHES * cache);
    return Math.clamp(Math.ceilDiv(bytes, Math.max(1, inputBytes)), 2, MOST_COPIES);
  }

  /** Times the sides in turns and prints a row for each. */
  void time(String shape, List<Side> sides) {
    try (CudaGraphs graphs = new CudaGraphs(context);
        BenchEvents events = new BenchEvents(context)) {
      List<Integer> launches = new ArrayList<>();
      for (Side side : sides) {
        repeat(side.copies, side); // loads modules, touches every copy
        int start = events.record();
        repeat(side.copies, side);
        double rough = Math.max(0.1, events.micros(start, events.record()) / side.copies);
        long rounds = Math.max(1, Math.round(SAMPLE_MICROS / rough / side.copies));
        launches.add(tiny ? side.copies : Math.clamp(side.copies * rounds, 1, MOST_LAUNCHES));
      }
      int samples = tiny ? 2 : SAMPLES;
      List<List<int[]>> spans = new ArrayList<>();
      sides.forEach(_ -> spans.add(new ArrayList<>()));
      // The first round just runs, the second is captured and launched, the others warm up.
      for (int sample = tiny ? -3 : -WARM_UPS; sample < samples; sample++) {
        for (int s = 0; s < sides.size(); s++) {
          Side side = sides.get(s);
          int count = launches.get(s);
          int start = events.record();
          graphs.run(side, () -> repeat(count, side));
          int end = events.record();
          if (sample >= 0) {
            spans.get(s).add(new int[] {start, end});
          }
        }
      }
      for (int s = 0; s < sides.size(); s++) {
        int count = launches.get(s);
        print(
            shape,
            sides,
            s,
            spans.get(s).stream()
                .mapToDouble(span -> events.micros(span[0], span[1]) / count)
                .toArray(),
            count);
      }
    }
  }

  private void print(String shape, List<Side> sides, int index, double[] samples, int launches) {
    Side side = sides.get(index);
    ObjectNode row = row(side.bench, shape, side.name);
    if (CudaDriver.kind().emulated()) {
      row.put("remark", "ran on the emulated GPU, whose times are no speed");
    } else {
      ArrayNode list = row.putArray("samples_us");
      for (double sample : samples) {
        list.add(sample);
      }
      row.put("bytes", side.bytes);
      row.put("flops", side.flops);
      row.put("arithmetic", side.arithmetic);
      if (sides.size() > 1) {
        Side first = sides.getFirst();
        row.put("paired", first.bench + " " + shape + " by " + first.name);
      }
      row.put("copies", side.copies);
      row.put("calls_a_sample", launches);
    }
    items.row(row);
  }

  /** Says that a side can't compute a shape, and why: a finding, which the report keeps. */
  void cannot(String bench, String shape, String side, String why) {
    items.row(row(bench, shape, side).put("error", why));
  }

  static ObjectNode row(String bench, String shape, String side) {
    return JSON.createObjectNode().put("bench", bench).put("shape", shape).put("side", side);
  }

  private static void repeat(int launches, Side side) {
    for (int i = 0; i < launches; i++) {
      side.launch.accept(i % side.copies);
    }
  }
}
