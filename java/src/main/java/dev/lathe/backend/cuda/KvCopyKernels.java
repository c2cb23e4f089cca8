package dev.lathe.backend.cuda;

import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.List;
import java.util.stream.LongStream;

/**
 * Copies pages of keys and values within a cache or from one to another, in all layers at once:
 * kv_copy.cu. For copy-on-write, beams, and swapping to pinned memory of the host.
 */
final class KvCopyKernels {
  private static final int THREADS = 256;
  private static final int BYTES_OF_BLOCK = 16 * THREADS * 4;

  private final CudaKernels kernels;

  KvCopyKernels(CudaKernels kernels) {
    this.kernels = kernels;
  }

  /** Where a cache's arrays of pages lie, as {@link #copyPages} wants them: keys and values. */
  static long[] addresses(List<KvLayer> layers) {
    return layers.stream()
        .flatMapToLong(layer -> LongStream.of(layer.keys().address(), layer.values().address()))
        .toArray();
  }

  /** Bytes of a page of keys, or of values. */
  static long pageBytes(KvLayer layer) {
    return (long) layer.kvHeads()
        * layer.pageSize()
        * KvLayer.rowBytes(layer.type(), layer.headDim());
  }

  /**
   * Copies page {@code pairs[i, 0]} to page {@code pairs[i, 1]}, for each i, in no order: no page
   * is written that another pair reads or writes. A pair with a negative page is left out.
   *
   * @param to [arrays] I64 on the device: {@link #addresses} of the cache that is written
   * @param from [arrays] I64 on the device: of the cache that is read, may be the same
   * @param pairs [n, 2] I32 on the device
   * @param pageBytes {@link #pageBytes} of both caches
   */
  void copyPages(Tensor to, Tensor from, Tensor pairs, long pageBytes) {
    if (to.dtype() != DType.I64
        || from.dtype() != DType.I64
        || to.elements() != from.elements()
        || pairs.rank() != 2
        || pairs.size(1) != 2
        || pageBytes % 2 != 0) {
      throw new IllegalArgumentException(
          "copyPages: to %s, from %s, pairs %s, pages of %d bytes"
              .formatted(to, from, pairs, pageBytes));
    }
    if (pairs.size(0) == 0) {
      return;
    }
    kernels
        .get("kv_copy", "kv_copy_pages")
        .pointer(to)
        .pointer(from)
        .pointer(pairs)
        .i64(pageBytes)
        .launch(
            pairs.size(0),
            Math.toIntExact(to.elements()),
            Math.clamp(Math.ceilDiv(pageBytes, BYTES_OF_BLOCK), 1, 64),
            THREADS,
            0);
  }
}
