package dev.lathe.backend.cuda;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;

/** Weights of which two in every four are zero, and their products through mma.sp: sparse24.cu. */
final class Sparse24Kernels {
  private static final int TILE_ROWS = 16;
  private static final int SLAB = 64;
  private static final int TOKENS = 32;
  private static final int THREADS = 128;
  private static final int LANES = 32;

  /**
   * A compressed weight on the device.
   *
   * @param values what is kept, in the order that lanes read it
   * @param metadata which two of each four that is
   * @param dtype F16, BF16 or I8
   * @param rows output features
   * @param cols input features, counting those that are zero
   */
  record Weights(Tensor values, Tensor metadata, DType dtype, long rows, long cols) {
    long bytes() {
      return values.bytes() + metadata.bytes();
    }
  }

  private final CudaKernels kernels;
  private final String module;

  Sparse24Kernels(CudaKernels kernels) {
    this(kernels, "sparse24");
  }

  /** With the kernels of another module: a test's wrong ones. */
  Sparse24Kernels(CudaKernels kernels, String module) {
    this.kernels = kernels;
    this.module = module;
  }

  private static long slabs(long rows, long cols) {
    return Math.ceilDiv(rows, TILE_ROWS) * Math.ceilDiv(cols, SLAB);
  }

  /**
   * Bytes of {@link Weights#values}, to be aligned to 16: half of the dense ones, padded to tiles.
   */
  static long valueBytes(DType dtype, long rows, long cols) {
    return slabs(rows, cols) * LANES * 16 * dtype.bytes();
  }

  /** Bytes of {@link Weights#metadata}: an eighth of a byte for each weight that there was. */
  static long metadataBytes(long rows, long cols) {
    return slabs(rows, cols) * LANES * Integer.BYTES;
  }

  /**
   * Compresses. {@code firstDense} then holds the lowest index, counting row by row in fours, of
   * four weights of which more than two aren't zero; {@link #refuseDense} says so.
   *
   * @param firstDense [1] I64 on the device, all ones before: -1
   * @param weight [rows, cols] F16, BF16 or I8; cols a multiple of 16 bytes
   */
  void compress(Weights to, Tensor firstDense, Tensor weight) {
    checkWeights(to);
    if (weight.dtype() != to.dtype()
        || weight.size(0) != to.rows()
        || weight.size(1) != to.cols()
        || firstDense.dtype() != DType.I64) {
      throw new IllegalArgumentException(
          "2:4: weight %s into %s, first dense %s".formatted(weight, to, firstDense));
    }
    if (weight.elements() == 0) {
      return;
    }
    long slabs = Math.ceilDiv(to.cols(), SLAB);
    kernels
        .get(module, "sparse24_compress_" + suffix(to.dtype()))
        .pointer(to.values())
        .pointer(to.metadata())
        .pointer(firstDense)
        .pointer(weight)
        .i64(to.rows())
        .i64(to.cols())
        .i64(slabs)
        .launch(slabs, Math.toIntExact(Math.ceilDiv(to.rows(), TILE_ROWS)), 1, LANES, 0);
  }

  /**
   * @param firstDense what {@link #compress} left, read back
   * @throws InvalidInputException if the weight isn't 2:4; names it, the row and the columns
   */
  static void refuseDense(String tensor, long cols, long firstDense) {
    if (firstDense != -1) {
      long row = firstDense / (cols / 4);
      long column = firstDense % (cols / 4) * 4;
      throw new InvalidInputException(
          "%s is not 2:4 sparse: row %d has more than two weights that aren't zero in columns %d to %d"
              .formatted(tensor, row, column, column + 3));
    }
  }

  /**
   * out[m, n] = sum over k of x[m, k] * w[n, k] + bias[n].
   *
   * @param out [m, n] F32
   * @param x [m, k] of the weights' type, F16 or BF16, aligned to 16 bytes
   * @param bias [n] F32, or null
   */
  void multiply(Tensor out, Tensor x, Weights weights, Tensor bias) {
    if (weights.dtype() == DType.I8) {
      throw new IllegalArgumentException("INT8 needs scales");
    }
    if (out.elements() > 0) {
      launch(start(out, x, weights, bias), out);
    }
  }

  /**
   * out[m, n] = (sum over k of x[m, k] * w[n, k]) * xScales[m] * wScales[n] + bias[n], sums exact.
   *
   * @param x [m, k] I8, xScales [m] F32
   * @param wScales [n] F32
   */
  void multiply(
      Tensor out, Tensor x, Tensor xScales, Weights weights, Tensor wScales, Tensor bias) {
    if (weights.dtype() != DType.I8
        || weights.cols() > GemmW8A8.MAX_DEPTH
        || xScales.elements() != x.size(0)
        || wScales.elements() != weights.rows()) {
      throw new IllegalArgumentException(
          "2:4 INT8: x scaled by %s, %s by %s".formatted(xScales, weights, wScales));
    }
    if (out.elements() > 0) {
      launch(start(out, x, weights, bias).pointer(xScales).pointer(wScales), out);
    }
  }

  private CudaKernel start(Tensor out, Tensor x, Weights weights, Tensor bias) {
    checkWeights(weights);
    if (out.dtype() != DType.F32
        || x.dtype() != weights.dtype()
        || out.size(0) != x.size(0)
        || out.size(1) != weights.rows()
        || x.size(1) != weights.cols()
        || x.address() % 16 != 0
        || (bias != null && bias.elements() != weights.rows())) {
      throw new IllegalArgumentException(
          "2:4: out %s, x %s, %s, bias %s".formatted(out, x, weights, bias));
    }
    return kernels
        .get(module, "sparse24_gemm_" + suffix(weights.dtype()))
        .pointer(out)
        .pointer(weights.values())
        .pointer(weights.metadata())
        .pointer(x)
        .pointer(bias == null ? 0 : bias.address())
        .i64(x.size(0))
        .i64(weights.rows())
        .i64(weights.cols());
  }

  private static void launch(CudaKernel kernel, Tensor out) {
    kernel.launch(
        Math.ceilDiv(out.size(1), TILE_ROWS),
        Math.toIntExact(Math.ceilDiv(out.size(0), TOKENS)),
        1,
        THREADS,
        0);
  }

  private static void checkWeights(Weights weights) {
    if (weights.values().bytes() < valueBytes(weights.dtype(), weights.rows(), weights.cols())
        || weights.metadata().bytes() < metadataBytes(weights.rows(), weights.cols())
        || weights.values().address() % 16 != 0
        || weights.cols() * weights.dtype().bytes() % 16 != 0) {
      throw new IllegalArgumentException("2:4 weights that don't fit their shape: " + weights);
    }
  }

  private static String suffix(DType dtype) {
    return switch (dtype) {
      case F16 -> "f16";
      case BF16 -> "bf16";
      case I8 -> "s8";
      default -> throw new IllegalArgumentException("2:4 sparse weights of " + dtype);
    };
  }
}
