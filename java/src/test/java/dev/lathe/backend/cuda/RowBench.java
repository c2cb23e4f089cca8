package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.gpucheck.Items;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.function.LongConsumer;

/**
 * The kernels that go through rows. Single rows are too little for copies to exceed the L2 cache:
 * their times are of launches.
 */
final class RowBench {
  private final Items items;
  private final boolean tiny;

  RowBench(Items items, boolean tiny) {
    this.items = items;
    this.tiny = tiny;
  }

  void run() {
    for (int tokens : tiny ? new int[] {3} : new int[] {1, 32, 4096}) {
      rows(tokens, tiny ? new Sizes(64, 96, 4, 2, 16, 96) : Sizes.OF_8B);
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
          Tensor w = zeros(bench, hidden);
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
    embedding("embedding_bf16", tokens, sizes, LinearBench.BF16.make());
    embedding("embedding_int8", tokens, sizes, LinearBench.W8A16.make());
    embedding("embedding_bitmap_bf16", tokens, sizes, LinearBench.BITMAP.make());
  }

  /** Tokens at random, others in each copy. */
  private void embedding(String name, int tokens, Sizes sizes, LinearBench.Block make) {
    String shape = "%d x %d".formatted(tokens, sizes.hidden);
    items.run(name + " " + shape, () -> embedding(name, shape, tokens, sizes, make));
  }

  private void embedding(
      String name, String shape, int tokens, Sizes sizes, LinearBench.Block make) {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, items, tiny);
      Weight block = make.of(new RowTensors(bench, name), sizes.hidden);
      Weight table = BenchData.repeated(bench, block, (int) (sizes.vocabulary / block.rows()));
      long bytes = table.bytes() / table.rows() * tokens + 4L * tokens * sizes.hidden;
      int copies = lines.copies(bytes);
      Tensor[] y = many(bench, copies, tokens, sizes.hidden);
      Tensor[] ids = new Tensor[copies];
      for (int i = 0; i < copies; i++) {
        ids[i] = ids(bench, tokens, sizes.vocabulary, i);
      }
      RowKernels kernels = new RowKernels(bench.kernels, bench.context.limits());
      lines.time(
          shape,
          List.of(
              new BenchLines.Side(
                  name,
                  "lathe",
                  copies,
                  bytes,
                  0,
                  "",
                  i -> kernels.embed(y[(int) i], table, ids[(int) i]))));
    }
  }

  /**
   * @param bytes that move
   * @param copyBytes of one copy of what is read and written
   */
  private void row(String name, String shape, long bytes, long copyBytes, RowCase rowCase) {
    items.run(
        name + " " + shape,
        () -> {
          try (CudaBench bench = new CudaBench()) {
            BenchLines lines = new BenchLines(bench.context, items, tiny);
            int copies = lines.copies(copyBytes);
            RowKernels kernels = new RowKernels(bench.kernels, bench.context.limits());
            LongConsumer launch = rowCase.launch(kernels, bench, copies);
            lines.time(
                shape, List.of(new BenchLines.Side(name, "lathe", copies, bytes, 0, "", launch)));
          }
        });
  }

  private static Tensor[] many(CudaBench bench, int copies, int rows, int columns) {
    Tensor some = new RowTensors(bench, columns).normal(1, columns);
    Tensor[] tensors = new Tensor[copies];
    for (int i = 0; i < copies; i++) {
      tensors[i] = BenchData.repeated(bench, some, rows);
    }
    return tensors;
  }

  private static Tensor ones(CudaBench bench, int count) {
    float[] values = new float[count];
    Arrays.fill(values, 1);
    return bench.up(bench.floats(values));
  }

  private static Tensor zeros(CudaBench bench, long count) {
    return bench.up(bench.host(DType.F32, count));
  }

  private static Tensor ids(CudaBench bench, int count, int below, long seed) {
    return bench.up(bench.integers(new SplittableRandom(seed).ints(count, 0, below).toArray()));
  }
}
