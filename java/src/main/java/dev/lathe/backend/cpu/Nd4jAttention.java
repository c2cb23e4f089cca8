package dev.lathe.backend.cpu;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Paged attention for libraries that know no pages: the keys and values of a sequence are gathered
 * into dense matrices, and scores and sums are two products of them.
 */
final class Nd4jAttention {
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

  private final AttentionShape shape;
  private final KvLayer cache;
  private final BatchTensors batch;

  Nd4jAttention(AttentionShape shape, KvLayer cache, BatchTensors batch) {
    this.shape = shape;
    this.cache = cache;
    this.batch = batch;
  }

  void run(Tensor out, Tensor qkv) {
    for (long s = 0; s < batch.sequenceCount(); s++) {
      int first = index(batch.queryStarts(), s);
      int fresh = index(batch.queryStarts(), s + 1) - first;
      int context = index(batch.contextLengths(), s);
      int firstBlock = index(batch.blockStarts(), s);
      int blocks = index(batch.blockStarts(), s + 1) - firstBlock;
      if (fresh < 0
          || fresh > context
          || first + fresh > batch.tokenCount()
          || (long) blocks * cache.pageSize() < context) {
        throw new IllegalArgumentException(
            "attention: sequence %d has %d new tokens, a context of %d and %d pages of %d"
                .formatted(s, fresh, context, blocks, cache.pageSize()));
      }
      if (fresh == 0) {
        continue;
      }
      for (int head = 0; head < shape.kvHeads(); head++) {
        INDArray keys = gather(cache.keys(), head, context, firstBlock);
        INDArray values = gather(cache.values(), head, context, firstBlock);
        int group = shape.heads() / shape.kvHeads();
        for (int h = head * group; h < (head + 1) * group; h++) {
          attend(out, qkv, h, first, fresh, context, keys, values);
        }
      }
    }
  }

  /** One query head of one sequence's new tokens. */
  private void attend(
      Tensor out,
      Tensor qkv,
      int head,
      int first,
      int fresh,
      int context,
      INDArray keys,
      INDArray values) {
    int headDim = shape.headDim();
    float[] queries = new float[fresh * headDim];
    for (int i = 0; i < fresh; i++) {
      long from = (first + i) * qkv.rowStride() + (long) head * headDim;
      MemorySegment.copy(qkv.memory(), FLOAT, from * 4, queries, i * headDim, headDim);
    }
    INDArray query = Nd4j.createFromArray(queries).reshape('c', fresh, headDim);
    float[] scores = query.mmul(keys.transpose()).dup('c').data().asFloat();
    for (int i = 0; i < fresh; i++) {
      softmax(scores, i * context, context - fresh + i + 1, context);
    }
    INDArray weights = Nd4j.createFromArray(scores).reshape('c', fresh, context);
    float[] result = weights.mmul(values).dup('c').data().asFloat();
    for (int i = 0; i < fresh; i++) {
      long to = (first + i) * out.rowStride() + (long) head * headDim;
      MemorySegment.copy(result, i * headDim, out.memory(), FLOAT, to * 4, headDim);
    }
  }

  /** Over the keys that a token sees; those before and after them get weight 0. */
  private void softmax(float[] scores, int start, int visible, int context) {
    int first = start + shape.firstVisible(visible);
    float cap = shape.softCap();
    float largest = Float.NEGATIVE_INFINITY;
    for (int j = first; j < start + visible; j++) {
      scores[j] *= shape.scale();
      scores[j] = cap > 0 ? (float) (cap * Math.tanh(scores[j] / cap)) : scores[j];
      largest = Math.max(largest, scores[j]);
    }
    double total = 0;
    for (int j = first; j < start + visible; j++) {
      scores[j] = (float) Math.exp(scores[j] - largest);
      total += scores[j];
    }
    for (int j = first; j < start + visible; j++) {
      scores[j] = (float) (scores[j] / total);
    }
    java.util.Arrays.fill(scores, start, first, 0);
    java.util.Arrays.fill(scores, start + visible, start + context, 0);
  }

  /** A sequence's keys or values of one head, [context, headDim]. */
  private INDArray gather(Tensor pages, int head, int context, int firstBlock) {
    int headDim = shape.headDim();
    float[] dense = new float[context * headDim];
    float[] row = new float[headDim];
    for (int start = 0, block = firstBlock; start < context; start += cache.pageSize(), block++) {
      long page = index(batch.blocks(), block);
      int rows = Math.min(cache.pageSize(), context - start);
      if (pages.dtype() == DType.F32) {
        long from = ((page * cache.kvHeads() + head) * cache.pageSize()) * headDim;
        MemorySegment.copy(pages.memory(), FLOAT, from * 4, dense, start * headDim, rows * headDim);
        continue;
      }
      for (int r = 0; r < rows; r++) {
        KvRows.read(cache, pages, page, head, r, row);
        System.arraycopy(row, 0, dense, (start + r) * headDim, headDim);
      }
    }
    return Nd4j.createFromArray(dense).reshape('c', context, headDim);
  }

  private static int index(Tensor indices, long i) {
    return indices.memory().get(INT, i * 4);
  }
}
