package dev.lathe.backend.cuda;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.Optional;

/** Launches {@code plain.cu}: linear layers of every shape and format, right and not fast. */
final class PlainKernels {
  private static final int THREADS = 128;
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
}
