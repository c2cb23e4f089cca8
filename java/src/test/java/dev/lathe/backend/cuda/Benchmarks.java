package dev.lathe.backend.cuda;

import dev.lathe.gpucheck.Items;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/**
 * The project's kernels beside cuBLAS, in one process. Rows as {@link BenchLines} prints them, a
 * benchmark and shape an item of {@link Items}. Not a test:
 *
 * <pre>java -cp CLASSPATH -Dlathe.root=. dev.lathe.backend.cuda.Benchmarks asked|rest [--tiny]
 * </pre>
 *
 * <p>{@code asked} is what the project has targets for, {@code rest} everything else. What reading
 * reaches is measured in each process, since all others are held against it.
 */
public final class Benchmarks {
  private final Items items;
  private final boolean tiny;

  Benchmarks(Items items, boolean tiny) {
    this.items = items;
    this.tiny = tiny;
    BenchLines.requireSpeed(tiny);
  }

  public static void main(String[] arguments) {
    List<String> words = List.of(arguments);
    boolean tiny = words.contains("--tiny");
    if (words.contains("asked") == words.contains("rest")
        || (!tiny && CudaDriver.kind().emulated())) {
      System.err.println(
          "usage: Benchmarks asked|rest [--tiny]; the emulated GPU runs --tiny only");
      System.exit(2);
    }
    new Benchmarks(Items.of(System.out), tiny).run(words.contains("asked"));
    System.exit(0);
  }

  void run(boolean asked) {
    Optional<String> noCublas = CublasLibrary.whyUnusable();
    // The primary context lives as long as one is open: making it anew for each row takes longer
    // than most rows.
    try (CudaContext open = CudaContext.open()) {
      open.enter();
      items.row(
          BenchLines.row("", "", "cublas")
              .put("remark", noCublas.orElseGet(CublasLibrary::description)));
      if (asked) {
        items.run("read", this::read);
      }
      LinearBench linear = new LinearBench(items, tiny, noCublas);
      linear.run(asked);
      new AttentionBench(items, tiny).run(asked);
      if (!asked) {
        new RowBench(items, tiny).run();
      }
    }
  }

  /** The most that anything which has to read could reach. */
  private void read() {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, items, tiny);
      long bytes = tiny ? 1 << 16 : 1L << 30;
      long blocks = bench.context.limits().multiprocessors() * (tiny ? 1L : 4L);
      int threads = 512;
      Tensor buffer = BenchData.random(bench, DType.F32, 0, bytes / 4);
      Tensor sink = BenchData.random(bench, DType.F32, 0, blocks * threads);
      BenchLines.Side side =
          new BenchLines.Side(
              "read_f32",
              "lathe",
              1,
              bytes,
              0,
              "",
              _ ->
                  bench
                      .kernels
                      .get("ceilings", "read_buffer")
                      .pointer(sink)
                      .pointer(buffer)
                      .i64(bytes / 16)
                      .i32(1)
                      .launch(blocks, 1, 1, threads, 0));
      lines.time(bytes + " bytes", List.of(side));
    }
  }
}
