package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Single rows of a cache in the host's memory, for backends that keep INT8 plainly: a page of a
 * head is the codes of its rows, in their order, then the rows' scales.
 */
public final class KvRows {
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

  private KvRows() {}

  /**
   * @param part the layer's keys or its values
   * @param row of the page
   * @param x [headDim]
   */
  public static void write(KvLayer layer, Tensor part, long page, int kvHead, int row, float[] x) {
    MemorySegment memory = part.memory();
    if (layer.type() != DType.I8) {
      long at = ((page * layer.kvHeads() + kvHead) * layer.pageSize() + row) * layer.headDim();
      for (int i = 0; i < x.length; i++) {
        Floats.set(memory, layer.type(), at + i, x[i]);
      }
      return;
    }
    TokenQuantization quantized = TokenQuantization.of(x);
    long codes = codes(layer, page, kvHead);
    MemorySegment.copy(
        quantized.codes(),
        0,
        memory,
        ValueLayout.JAVA_BYTE,
        codes + (long) row * layer.headDim(),
        x.length);
    memory.set(FLOAT, scales(layer, codes) + (long) row * KvLayer.SCALE_BYTES, quantized.scale());
  }

  /**
   * @param part the layer's keys or its values
   * @param x [headDim], what the row holds: codes times their scale, rounded to F32
   */
  public static void read(KvLayer layer, Tensor part, long page, int kvHead, int row, float[] x) {
    MemorySegment memory = part.memory();
    if (layer.type() != DType.I8) {
      long at = ((page * layer.kvHeads() + kvHead) * layer.pageSize() + row) * layer.headDim();
      for (int i = 0; i < x.length; i++) {
        x[i] = Floats.get(memory, layer.type(), at + i);
      }
      return;
    }
    long codes = codes(layer, page, kvHead);
    float scale = memory.get(FLOAT, scales(layer, codes) + (long) row * KvLayer.SCALE_BYTES);
    for (int i = 0; i < x.length; i++) {
      x[i] = scale * memory.get(ValueLayout.JAVA_BYTE, codes + (long) row * layer.headDim() + i);
    }
  }

  private static long codes(KvLayer layer, long page, int kvHead) {
    return (page * layer.kvHeads() + kvHead)
        * layer.pageSize()
        * KvLayer.rowBytes(DType.I8, layer.headDim());
  }

  private static long scales(KvLayer layer, long codes) {
    return codes + (long) layer.pageSize() * layer.headDim();
  }
}
