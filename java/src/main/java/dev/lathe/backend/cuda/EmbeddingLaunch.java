package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Locale;
import java.util.stream.Stream;

/** Calls embedding.cu: the kernel of a table's format, and of a stack one a part. */
final class EmbeddingLaunch {
  private EmbeddingLaunch() {}

  /**
   * Rows of a table whose first row is row {@code first} of all, in place of those of {@code out}
   * or added to them. A token that the table doesn't have leaves its row as it is.
   *
   * @return the first row behind it
   */
  static long run(
      CudaKernels kernels, Tensor out, Weight table, Tensor tokens, long first, boolean add) {
    if (table instanceof Weight.Stacked stacked) {
      long next = first;
      for (Weight part : stacked.parts()) {
        next = run(kernels, out, part, tokens, next, add);
      }
      return next;
    }
    requireWhole(table);
    if (out.elements() > 0 && table.rows() > 0) {
      int cols = Math.toIntExact(table.cols());
      CudaKernel kernel =
          kernels
              .get("embedding", embeddingName(table))
              .pointer(out)
              .pointer(tokens)
              .i64(first)
              .i32(add ? 1 : 0);
      switch (table) {
        case Weight.Dense dense -> kernel.pointer(dense.values());
        case Weight.Int8 int8 -> {
          scaled(kernel.pointer(int8.values()), int8);
          kernel.i32(Math.toIntExact(int8.scales().size(1))).i32((int) int8.groupSize());
        }
        case Weight.Bitmap bitmap -> {
          kernel.pointer(bitmap.bitmap()).pointer(bitmap.rowOffsets()).pointer(bitmap.values());
          scaled(kernel, bitmap);
        }
        case Weight.Stacked _ -> throw new IllegalStateException("a stack is not one table");
      }
      kernel.i64(table.rows()).i32(cols);
      if (table instanceof Weight.Bitmap) {
        kernel.launch(
            tokens.size(0),
            1,
            1,
            RowGeometry.wholeWarps(Math.ceilDiv(cols, RowGeometry.WARP), RowGeometry.THREADS),
            0);
      } else {
        RowGeometry.launchRows(kernel, tokens.size(0), cols);
      }
    }
    return first + table.rows();
  }

  private static String embeddingName(Weight table) {
    return switch (table) {
      case Weight.Dense dense -> "embedding" + suffix(dense.values().dtype());
      case Weight.Int8 _ -> "embedding_int8";
      case Weight.Bitmap bitmap -> "embedding_bitmap" + suffix(bitmap.values().dtype());
      case Weight.Stacked _ -> throw new IllegalStateException("a stack is not one table");
    };
  }

  private static String suffix(DType type) {
    return type == DType.I8 ? "_int8" : "_" + type.name().toLowerCase(Locale.ROOT);
  }

  private static void scaled(CudaKernel kernel, Weight.Int8 int8) {
    kernel
        .pointer(int8.scales())
        .i32(int8.scales().dtype() == DType.BF16 ? 1 : 0)
        .pointer(int8.zeroPoints().map(Tensor::address).orElse(0L));
  }

  private static void scaled(CudaKernel kernel, Weight.Bitmap bitmap) {
    if (bitmap.scales().isPresent()) {
      Tensor scales = bitmap.scales().get();
      kernel
          .pointer(scales)
          .i32(scales.dtype() == DType.BF16 ? 1 : 0)
          .pointer(bitmap.zeroPoints().map(Tensor::address).orElse(0L));
    }
  }

  /** Weights lie on the device in one piece. */
  private static void requireWhole(Weight table) {
    Stream<Tensor> tensors =
        switch (table) {
          case Weight.Dense dense -> Stream.of(dense.values());
          case Weight.Int8 int8 ->
              Stream.concat(Stream.of(int8.values(), int8.scales()), int8.zeroPoints().stream());
          case Weight.Bitmap bitmap -> Stream.of(bitmap.bitmap());
          case Weight.Stacked _ -> Stream.empty();
        };
    tensors
        .filter(tensor -> !tensor.isContiguous())
        .forEach(tensor -> {
          throw new IllegalArgumentException("embed: " + tensor + " of a table is not contiguous");
        });
  }
}
