package dev.lathe.backend.cpu;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * New tokens of several sequences and a cache for them. Pages lie in no order; rows of a last page
 * beyond the context are NaN, and a page that is nobody's is too. An INT8 cache is written by the
 * backend that reads it, from keys and values in F32.
 */
final class DecodeStep implements AutoCloseable {
  final AttentionShape shape;
  final int pageSize;
  final int[] contexts;
  final Tensor queries; // [sequences * newTokens, columns]
  final KvLayer cache;
  private final KvLayer numbers; // the cache, or in F32 what an INT8 cache is made of
  private final DType type; // of the numbers
  private final int newTokens;
  private byte beyond = -1; // in every byte of an INT8 cache that nothing was written to
  private final int[][] pages;
  private final Arena arena = Arena.ofShared();

  DecodeStep(
      long seed, AttentionShape shape, int pageSize, DType type, int newTokens, int... contexts) {
    SplittableRandom random = new SplittableRandom(seed);
    this.shape = shape;
    this.pageSize = pageSize;
    this.type = type == DType.I8 ? DType.F32 : type;
    this.newTokens = newTokens;
    this.contexts = contexts;
    queries = empty(DType.F32, (long) contexts.length * newTokens, shape.queryKeyValueColumns());
    for (long i = 0; i < queries.elements(); i++) {
      Floats.set(queries.memory(), DType.F32, i, (float) random.nextGaussian());
    }
    int held = Arrays.stream(contexts).map(context -> Math.ceilDiv(context, pageSize)).sum();
    int next = held; // from the last to the first: page 0 is nobody's
    pages = new int[contexts.length][];
    for (int s = 0; s < contexts.length; s++) {
      pages[s] = new int[Math.ceilDiv(contexts[s], pageSize)];
      for (int i = 0; i < pages[s].length; i++) {
        pages[s][i] = next--;
      }
    }
    numbers = layer(this.type, held + 1L);
    cache = type == DType.I8 ? layer(type, held + 1L) : numbers;
    fillBeyond(Float.NaN);
    for (int s = 0; s < contexts.length; s++) {
      for (int head = 0; head < shape.kvHeads(); head++) {
        for (int j = 0; j < contexts[s]; j++) {
          for (int d = 0; d < shape.headDim(); d++) {
            setKey(s, head, j, d, (float) random.nextGaussian());
            setValue(s, head, j, d, (float) random.nextGaussian());
          }
        }
      }
    }
  }

  private KvLayer layer(DType type, long pages) {
    long[] size = KvLayer.shape(type, pages, shape.kvHeads(), pageSize, shape.headDim());
    return new KvLayer(empty(type, size), empty(type, size));
  }

  /** All rows that no sequence's context has; of INT8 their scales, NaN or about 3e38. */
  void fillBeyond(float value) {
    beyond = Float.isNaN(value) ? (byte) -1 : 0x7f;
    boolean[] inside = new boolean[Math.toIntExact(numbers.pages()) * pageSize];
    for (int s = 0; s < contexts.length; s++) {
      for (int j = 0; j < contexts[s]; j++) {
        inside[pages[s][j / pageSize] * pageSize + j % pageSize] = true;
      }
    }
    for (int slot = 0; slot < inside.length; slot++) {
      for (int head = 0; !inside[slot] && head < shape.kvHeads(); head++) {
        for (int d = 0; d < shape.headDim(); d++) {
          long at = at(slot / pageSize, head, slot % pageSize, d);
          Floats.set(numbers.keys().memory(), type, at, value);
          Floats.set(numbers.values().memory(), type, at, value);
        }
      }
    }
  }

  float query(int token, int head, int d) {
    return Floats.get(
        queries.memory(),
        DType.F32,
        token * queries.rowStride() + (long) head * shape.headDim() + d);
  }

  void setQuery(int token, int head, int d, float value) {
    long at = token * queries.rowStride() + (long) head * shape.headDim() + d;
    Floats.set(queries.memory(), DType.F32, at, value);
  }

  float key(int sequence, int kvHead, int position, int d) {
    return Floats.get(numbers.keys().memory(), type, at(sequence, position, kvHead, d, pages));
  }

  float value(int sequence, int kvHead, int position, int d) {
    return Floats.get(numbers.values().memory(), type, at(sequence, position, kvHead, d, pages));
  }

  void setKey(int sequence, int kvHead, int position, int d, float value) {
    Floats.set(numbers.keys().memory(), type, at(sequence, position, kvHead, d, pages), value);
  }

  void setValue(int sequence, int kvHead, int position, int d, float value) {
    Floats.set(numbers.values().memory(), type, at(sequence, position, kvHead, d, pages), value);
  }

  private long at(int sequence, int position, int kvHead, int d, int[][] pages) {
    return at(pages[sequence][position / pageSize], kvHead, position % pageSize, d);
  }

  private long at(int page, int kvHead, int row, int d) {
    return (((long) page * shape.kvHeads() + kvHead) * pageSize + row) * shape.headDim() + d;
  }

  /** [sequences * newTokens][heads * headDim], of all sequences in one batch. */
  float[][] run(InstructionSet set, int threads) {
    int[] all = new int[contexts.length];
    Arrays.setAll(all, s -> s);
    return run(set, threads, shape, all);
  }

  /**
   * The same for some of the sequences in one batch, and the first of the query heads.
   *
   * @param shape this step's with the same key/value heads, or fewer query heads for one
   */
  float[][] run(InstructionSet set, int threads, AttentionShape shape, int... sequences) {
    int tokens = sequences.length * newTokens;
    int[] starts = new int[sequences.length + 1];
    int[] lengths = new int[sequences.length];
    int[] blockStarts = new int[sequences.length + 1];
    int[] blocks = new int[0];
    Tensor out = empty(DType.F32, tokens, (long) shape.heads() * shape.headDim());
    Tensor given = empty(DType.F32, tokens, shape.queryKeyValueColumns());
    for (int i = 0; i < sequences.length; i++) {
      int[] mine = pages[sequences[i]];
      starts[i + 1] = (i + 1) * newTokens;
      lengths[i] = contexts[sequences[i]];
      blockStarts[i + 1] = blockStarts[i] + mine.length;
      blocks = Arrays.copyOf(blocks, blockStarts[i + 1]);
      System.arraycopy(mine, 0, blocks, blockStarts[i], mine.length);
      for (int t = 0; t < newTokens; t++) {
        for (int c = 0; c < shape.heads() * shape.headDim(); c++) {
          float q = query(sequences[i] * newTokens + t, 0, c);
          long at = ((long) i * newTokens + t) * given.rowStride() + c;
          Floats.set(given.memory(), DType.F32, at, q);
        }
      }
    }
    Tensor none = integers(new int[tokens]);
    BatchTensors batch =
        new BatchTensors(
            none,
            none,
            none,
            integers(starts),
            integers(lengths),
            integers(blockStarts),
            integers(blocks),
            integers(new int[1]));
    try (CpuBackend backend = CpuBackend.open(threads, set)) {
      if (cache.type() == DType.I8) {
        write(backend);
      }
      backend.attention(out, given, shape, cache, batch);
      backend.synchronize();
    }
    float[][] rows = new float[tokens][(int) out.size(1)];
    for (int t = 0; t < tokens; t++) {
      Floats.readRow(out, t, rows[t]);
    }
    return rows;
  }

  /** The numbers of all contexts, as INT8. */
  private void write(CpuBackend backend) {
    cache.keys().memory().fill(beyond);
    cache.values().memory().fill(beyond);
    int all = Arrays.stream(contexts).sum();
    AttentionShape shape =
        new AttentionShape(this.shape.kvHeads(), this.shape.kvHeads(), this.shape.headDim(), 1);
    Tensor rows = empty(DType.F32, all, shape.queryKeyValueColumns());
    int[] slots = new int[all];
    int t = 0;
    for (int s = 0; s < contexts.length; s++) {
      for (int j = 0; j < contexts[s]; j++, t++) {
        slots[t] = pages[s][j / pageSize] * pageSize + j % pageSize;
        for (int head = 0; head < shape.kvHeads(); head++) {
          for (int d = 0; d < shape.headDim(); d++) {
            long key = t * rows.rowStride() + (long) (shape.kvHeads() + head) * shape.headDim() + d;
            long value = key + (long) shape.kvHeads() * shape.headDim();
            Floats.set(rows.memory(), DType.F32, key, key(s, head, j, d));
            Floats.set(rows.memory(), DType.F32, value, value(s, head, j, d));
          }
        }
      }
    }
    Tensor none = integers(new int[1]);
    Tensor ofTokens = integers(new int[all]);
    BatchTensors batch =
        new BatchTensors(
            ofTokens,
            ofTokens,
            integers(slots),
            integers(new int[] {0, all}),
            none,
            integers(new int[2]),
            none,
            none);
    backend.append(rows, shape, cache, batch);
    backend.synchronize();
  }

  private Tensor integers(int[] values) {
    return Tensor.of(arena.allocateFrom(ValueLayout.JAVA_INT, values), DType.I32, values.length);
  }

  private Tensor empty(DType dtype, long... shape) {
    return Tensor.of(arena.allocate(Tensor.elements(shape) * dtype.bytes(), 64), dtype, shape);
  }

  @Override
  public void close() {
    arena.close();
  }
}
