package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;

/**
 * Launches {@code plain.cu}: every operation but those of attention and sampling, for every shape
 * and format, right and not fast. What has a better kernel does not come here.
 */
final class PlainKernels {
  private static final int THREADS = 128;
  private static final int WARP = 32;
  private static final long MOST_BLOCKS = 1 << 16;

  private final CudaKernels kernels;

  PlainKernels(CudaKernels kernels) {
    this.kernels = kernels;
  }

  private CudaKernel kernel(String name) {
    return kernels.get("plain", name);
  }

  private static void launch(CudaKernel kernel, long items) {
    if (items == 0) {
      kernel.discard();
      return;
    }
    kernel.launch(Math.min(MOST_BLOCKS, Math.ceilDiv(items, THREADS)), 1, 1, THREADS, 0);
  }

  private static void launchWarps(CudaKernel kernel, long rows) {
    if (rows == 0) {
      kernel.discard();
      return;
    }
    kernel.launch(Math.min(MOST_BLOCKS, rows), 1, 1, WARP, 0);
  }

  /**
   * @param out, x rows may be strided
   * @param layer without a stack
   */
  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    CudaKernel kernel =
        kernel("plain_linear")
            .pointer(out)
            .i64(out.rowStride())
            .pointer(x)
            .i64(x.rowStride())
            .i64(x.size(0))
            .pointer(address(layer.bias()))
            .i32(epilogue == Epilogue.ADD ? 1 : 0)
            .bytes(describe(layer.weight()));
    launch(kernel, x.size(0) * layer.outputs());
  }

  void embed(Tensor out, Weight table, Tensor tokens, boolean add) {
    embed(out, table, tokens, add, 0);
  }

  private void embed(Tensor out, Weight table, Tensor tokens, boolean add, long first) {
    if (table instanceof Weight.Stacked stacked) {
      long at = first;
      for (Weight part : stacked.parts()) {
        embed(out, part, tokens, add, at);
        at += part.rows();
      }
      return;
    }
    CudaKernel kernel =
        kernel("plain_embed")
            .pointer(out)
            .pointer(tokens)
            .i64(tokens.size(0))
            .i64(first)
            .i32(add ? 1 : 0)
            .bytes(describe(table));
    launch(kernel, out.elements());
  }

  /** {@code struct PlainWeight} of plain.cu: five addresses, four ints, the rows, the columns. */
  private static long[] describe(Weight weight) {
    long[] members = new long[9];
    switch (weight) {
      case Weight.Dense dense -> {
        members[0] = dense.values().address();
        members[5] = ints(kind(dense.values().dtype()), 0);
        members[6] = ints(1, Math.toIntExact(Math.max(1, dense.cols())));
      }
      case Weight.Int8 int8 -> {
        members[0] = int8.values().address();
        members[1] = int8.scales().address();
        members[2] = address(int8.zeroPoints());
        members[5] = ints(3, kind(int8.scales().dtype()));
        members[6] =
            ints(Math.toIntExact(int8.scales().size(1)), Math.toIntExact(int8.groupSize()));
      }
      case Weight.Bitmap bitmap -> {
        members[0] = bitmap.values().address();
        members[1] = address(bitmap.scales());
        members[2] = address(bitmap.zeroPoints());
        members[3] = bitmap.bitmap().address();
        members[4] = bitmap.rowOffsets().address();
        members[5] =
            ints(
                4 + kind(bitmap.values().dtype()),
                bitmap.scales().map(scales -> kind(scales.dtype())).orElse(0));
        members[6] = ints(1, Math.toIntExact(Math.max(1, bitmap.cols())));
      }
      case Weight.Stacked _ -> throw new IllegalArgumentException("a stack is several matrices");
    }
    members[7] = weight.rows();
    members[8] = Math.toIntExact(weight.cols());
    return members;
  }

  private static long address(Optional<Tensor> tensor) {
    return tensor.map(Tensor::address).orElse(0L);
  }

  /** Two ints that lie one after another, the first one first. */
  private static long ints(int first, int second) {
    return Integer.toUnsignedLong(first) | (long) second << 32;
  }

  private static int kind(DType dtype) {
    return switch (dtype) {
      case F32 -> 0;
      case BF16 -> 1;
      case F16 -> 2;
      case I8 -> 3;
      default -> throw new IllegalArgumentException("there is no kernel for weights as " + dtype);
    };
  }

  void scale(Tensor x, float factor) {
    launch(kernel("plain_scale").pointer(x).f32(factor).i64(x.elements()), x.elements());
  }

  void softCap(Tensor x, float cap) {
    launch(kernel("plain_soft_cap").pointer(x).f32(cap).i64(x.elements()), x.elements());
  }

  void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon, boolean add) {
    norm(out, x, weight, 0, epsilon, add);
  }

  void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    norm(out, x, weight, bias.address(), epsilon, false);
  }

  private void norm(Tensor out, Tensor x, Tensor weight, long bias, float epsilon, boolean add) {
    CudaKernel kernel =
        kernel("plain_norm")
            .pointer(out)
            .pointer(x)
            .pointer(weight)
            .pointer(bias)
            .i64(x.size(0))
            .i32(Math.toIntExact(x.size(1)))
            .f32(epsilon)
            .i32(add ? 1 : 0);
    launchWarps(kernel, x.size(0));
  }

  void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    CudaKernel kernel =
        kernel("plain_norm_heads")
            .pointer(qkv)
            .pointer(query)
            .pointer(key)
            .i64(qkv.size(0))
            .i32(shape.heads())
            .i32(shape.kvHeads())
            .i32(shape.headDim())
            .f32(epsilon);
    launchWarps(kernel, qkv.size(0) * (shape.heads() + shape.kvHeads()));
  }

  /** With a gate, {@code x} is twice as wide as {@code out}. */
  void activate(Tensor out, Tensor x, Activation activation, boolean gated) {
    CudaKernel kernel =
        kernel("plain_activate")
            .pointer(out)
            .pointer(x)
            .i64(out.size(0))
            .i64(out.size(1))
            .i32(gated ? 1 : 0)
            .i32(
                switch (activation) {
                  case SILU -> 0;
                  case GELU_TANH -> 1;
                  case GELU -> 2;
                });
    launch(kernel, out.elements());
  }

  void gatherRows(Tensor out, Tensor x, Tensor rows) {
    CudaKernel kernel =
        kernel("plain_gather_rows")
            .pointer(out)
            .pointer(x)
            .pointer(rows)
            .i64(rows.size(0))
            .i64(x.size(1));
    launch(kernel, out.elements());
  }
}
