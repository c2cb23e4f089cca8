package dev.lathe.backend;

import dev.lathe.tensor.Tensor;

/**
 * The keys and values of one layer, in pages. Token {@code slot} of the cache lies in page {@code
 * slot / pageSize} at row {@code slot % pageSize}; a sequence's tokens find their pages through its
 * block table.
 *
 * @param keys [pages, kvHeads, pageSize, headDim] F32, F16 or BF16
 * @param values the same shape and type
 */
public record KvLayer(Tensor keys, Tensor values) {
  public KvLayer {
    if (keys.rank() != 4
        || keys.dtype() != values.dtype()
        || !java.util.Arrays.equals(keys.shape(), values.shape())) {
      throw new IllegalArgumentException("keys " + keys + " and values " + values + " differ");
    }
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
    return (int) keys.size(3);
  }
}
