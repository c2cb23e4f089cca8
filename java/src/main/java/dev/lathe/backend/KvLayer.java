package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.Arrays;

/**
 * The keys and values of one layer, in pages. Token {@code slot} of the cache lies in page {@code
 * slot / pageSize} at row {@code slot % pageSize}; a sequence's tokens find their pages through its
 * block table.
 *
 * <p>As INT8, a row of a head is {@code headDim} codes and one scale in F32 ({@link
 * TokenQuantization}). Within a page of a head, {@code pageSize * (headDim + 4)} bytes, they lie as
 * the backend likes; {@link KvRows} says how, where it likes it plain.
 *
 * @param keys [pages, kvHeads, pageSize, headDim] F32, F16 or BF16, or [pages, kvHeads, pageSize,
 *     headDim + {@value #SCALE_BYTES}] I8
 * @param values the same shape and type
 */
public record KvLayer(Tensor keys, Tensor values) {
  /** Bytes of the scale of an INT8 row, which is F32. */
  public static final int SCALE_BYTES = Float.BYTES;

  public KvLayer {
    if (keys.rank() != 4
        || keys.dtype() != values.dtype()
        || !Arrays.equals(keys.shape(), values.shape())
        || keys.size(3) <= scaleElements(keys.dtype())) {
      throw new IllegalArgumentException("keys " + keys + " and values " + values + " differ");
    }
  }

  /** The shape of keys, and of values. */
  public static long[] shape(DType type, long pages, int kvHeads, int pageSize, int headDim) {
    return new long[] {pages, kvHeads, pageSize, headDim + scaleElements(type)};
  }

  /** Bytes of a key, or a value, of one token and head: with its scale, where it has one. */
  public static long rowBytes(DType type, int headDim) {
    return (long) type.bytes() * (headDim + scaleElements(type));
  }

  private static int scaleElements(DType type) {
    return type == DType.I8 ? SCALE_BYTES : 0;
  }

  public DType type() {
    return keys.dtype();
  }

  public long pages() {
    return keys.size(0);
  }

  public int kvHeads() {
    return (int) keys.size(1);
  }

  public int pageSize() {
    return (int) keys.size(2);
  }

  public int headDim() {
    return (int) keys.size(3) - scaleElements(type());
  }
}
