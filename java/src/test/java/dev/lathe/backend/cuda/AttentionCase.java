package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * A ragged batch and its cache, with what attention over it should give. Slots that belong to no
 * token hold NaN: whoever lets one into a sum shows it.
 *
 * @param sequences tokens in the cache, and how many of them are new
 */
record AttentionCase(
    AttentionShape shape, DType type, int pageSize, List<AttentionCase.Sequence> sequences) {

  record Sequence(int context, int newTokens) {
    @Override
    public String toString() {
      return newTokens + "/" + context;
    }
  }

  /** On the host. */
  record Data(Tensor qkv, KvLayer cache, BatchTensors batch) {}

  static AttentionCase of(
      int heads, int kvHeads, int headDim, DType type, int pageSize, Sequence... sequences) {
    float scale = (float) (1 / Math.sqrt(headDim));
    return new AttentionCase(
        new AttentionShape(heads, kvHeads, headDim, scale), type, pageSize, List.of(sequences));
  }

  static Sequence decode(int context) {
    return new Sequence(context, 1);
  }

  static Sequence prefill(int tokens) {
    return new Sequence(tokens, tokens);
  }

  static Sequence chunk(int context, int newTokens) {
    return new Sequence(context, newTokens);
  }

  AttentionCase window(int window) {
    return new AttentionCase(
        new AttentionShape(
            shape.heads(),
            shape.kvHeads(),
            shape.headDim(),
            shape.scale(),
            window,
            shape.softCap()),
        type,
        pageSize,
        sequences);
  }

  AttentionCase softCap(float cap) {
    return new AttentionCase(
        new AttentionShape(
            shape.heads(), shape.kvHeads(), shape.headDim(), shape.scale(), shape.window(), cap),
        type,
        pageSize,
        sequences);
  }

  private int pages() {
    return sequences.stream().mapToInt(s -> Math.ceilDiv(s.context, pageSize)).sum();
  }

  /** Pages in no order, three of them nobody's. */
  Data make(CudaBench bench) {
    SplittableRandom random = new SplittableRandom(toString().hashCode());
    List<Integer> free = new ArrayList<>(IntStream.range(0, pages() + 3).boxed().toList());
    Collections.shuffle(free, new Random(random.nextLong()));
    List<Integer> positions = new ArrayList<>();
    List<Integer> slots = new ArrayList<>();
    List<Integer> blocks = new ArrayList<>();
    int[] queryStarts = new int[sequences.size() + 1];
    int[] blockStarts = new int[sequences.size() + 1];
    int[] contexts = new int[sequences.size()];
    long[] size = KvLayer.shape(type, pages() + 3L, shape.kvHeads(), pageSize, shape.headDim());
    KvLayer cache = new KvLayer(bench.host(type, size), bench.host(type, size));
    cache.keys().memory().fill((byte) -1); // NaN in all floating types, of scales too
    cache.values().memory().fill((byte) -1);
    for (int s = 0; s < contexts.length; s++) {
      Sequence sequence = sequences.get(s);
      contexts[s] = sequence.context;
      for (int i = 0; i < Math.ceilDiv(sequence.context, pageSize); i++) {
        blocks.add(free.removeLast());
      }
      for (int p = 0; p < sequence.context; p++) {
        int page = blocks.get(blockStarts[s] + p / pageSize);
        fillToken(cache, page, p % pageSize, random);
        if (p >= sequence.context - sequence.newTokens) {
          positions.add(p);
          slots.add(page * pageSize + p % pageSize);
        }
      }
      queryStarts[s + 1] = positions.size();
      blockStarts[s + 1] = blocks.size();
    }
    Tensor qkv = bench.host(DType.F32, positions.size(), shape.queryKeyValueColumns());
    for (long i = 0; i < qkv.elements(); i++) {
      Floats.set(qkv.memory(), DType.F32, i, (float) random.nextGaussian());
    }
    return new Data(
        qkv,
        cache,
        new BatchTensors(
            bench.integers(new int[positions.size()]),
            bench.integers(positions),
            bench.integers(slots),
            bench.integers(queryStarts),
            bench.integers(contexts),
            bench.integers(blockStarts),
            bench.integers(blocks),
            bench.integers(0)));
  }

  private void fillToken(KvLayer cache, int page, int row, SplittableRandom random) {
    float[] key = new float[shape.headDim()];
    float[] value = new float[shape.headDim()];
    for (int head = 0; head < shape.kvHeads(); head++) {
      for (int i = 0; i < shape.headDim(); i++) {
        key[i] = (float) random.nextGaussian();
        value[i] = (float) random.nextGaussian();
      }
      KvRows.write(cache, cache.keys(), page, head, row, key);
      KvRows.write(cache, cache.values(), page, head, row, value);
    }
  }

  Tensor expected(CudaBench bench, Data data) {
    Tensor out = bench.host(DType.F32, data.qkv.size(0), (long) shape.heads() * shape.headDim());
    try (ReferenceBackend reference = new ReferenceBackend()) {
      reference.attention(out, data.qkv, shape, data.cache, data.batch);
    }
    return out;
  }

  static BatchTensors up(CudaBench bench, BatchTensors batch) {
    return new BatchTensors(
        bench.up(batch.tokens()),
        bench.up(batch.positions()),
        bench.up(batch.slots()),
        bench.up(batch.queryStarts()),
        bench.up(batch.contextLengths()),
        bench.up(batch.blockStarts()),
        bench.up(batch.blocks()),
        bench.up(batch.logitRows()));
  }

  AttentionPlan.Sizes sizes(BatchTensors batch) {
    return new AttentionPlan.Sizes(
        batch.tokenCount(), batch.sequenceCount(), batch.blocks().size(0), pageSize);
  }

  /**
   * How a kernel computes, for {@link #bound}.
   *
   * @param queryRounding with which queries are rounded before they are multiplied: 0 where they
   *     are not
   * @param probabilityRounding the same of probabilities
   * @param keysAtATime after which a running largest score may rescale what was added up
   * @param parts instructions of tensor cores for 16 products; 0: in fp32 on CUDA cores
   * @param sharers warps that a row's keys are divided among
   */
  record Arithmetic(
      double queryRounding, double probabilityRounding, int keysAtATime, int parts, int sharers) {}

  /**
   * How far a correct kernel may be from the reference.
   *
   * <p>A score is a dot product of headDim terms, scaled: Higham's bound (2002, section 3.1) of
   * {@code (headDim + 3) u} of scale |q| |k|, and 10 u more where it is capped (tanh at 4 ulp). exp
   * turns an absolute error of its argument into a relative one; the difference from the largest
   * score adds 2 u, and each rescaling 5 u. Numerator and denominator both carry that and their
   * sums: in fp32 on CUDA cores a rounding each, on tensor cores 22 u for 16 products ({@link
   * LinearCase.Arithmetic#tensorCores}) in the numerator, and in the denominator a rounding for
   * each of the four that a lane has of 16 keys; 24 more for putting parts together.
   */
  double bound(Data data, Arithmetic arithmetic) {
    int longest = sequences.stream().mapToInt(Sequence::context).max().orElseThrow();
    double u = 0x1p-24;
    int dotProduct =
        arithmetic.parts == 0
            ? shape.headDim()
            : 22 * arithmetic.parts * Math.ceilDiv(shape.headDim(), 16);
    List<float[]> keys = rows(data.cache, data.cache.keys());
    double score = shape.scale() * largestNorm(rows(data.qkv)) * largestNorm(keys);
    double scoreError =
        score * ((dotProduct + 5 + (shape.softCap() > 0 ? 10 : 0)) * u + arithmetic.queryRounding);
    double probability =
        scoreError + (5.0 * Math.ceilDiv(longest, arithmetic.keysAtATime) + 18) * u;
    int steps = Math.ceilDiv(Math.ceilDiv(longest, 16), arithmetic.sharers) + 1;
    int additions =
        arithmetic.parts == 0
            ? 2 * (longest + 8)
            : 22 * arithmetic.parts * steps + 24 + 4 * steps + 24;
    return largest(rows(data.cache, data.cache.values()))
        * (2 * probability + additions * u + arithmetic.probabilityRounding);
  }

  /** A token's queries, keys and values, head by head. */
  private List<float[]> rows(Tensor qkv) {
    List<float[]> rows = new ArrayList<>();
    for (long start = 0; start < qkv.elements(); start += shape.headDim()) {
      float[] row = new float[shape.headDim()];
      for (int i = 0; i < row.length; i++) {
        row[i] = (float) CudaBench.at(qkv, start + i);
      }
      rows.add(row);
    }
    return rows;
  }

  /** What a cache's keys or values hold, those that nobody wrote among them. */
  private static List<float[]> rows(KvLayer cache, Tensor part) {
    List<float[]> rows = new ArrayList<>();
    for (long page = 0; page < cache.pages(); page++) {
      for (int head = 0; head < cache.kvHeads(); head++) {
        for (int line = 0; line < cache.pageSize(); line++) {
          float[] row = new float[cache.headDim()];
          KvRows.read(cache, part, page, head, line, row);
          rows.add(row);
        }
      }
    }
    return rows;
  }

  private static double largestNorm(List<float[]> rows) {
    double largest = 0;
    for (float[] row : rows) {
      double sum = 0;
      for (float x : row) {
        sum += Float.isNaN(x) ? 0 : (double) x * x;
      }
      largest = Math.max(largest, Math.sqrt(sum));
    }
    return largest;
  }

  private static double largest(List<float[]> rows) {
    double largest = 0;
    for (float[] row : rows) {
      for (float x : row) {
        largest = Math.abs(x) > largest ? Math.abs(x) : largest;
      }
    }
    return largest;
  }

  static void assertClose(String what, Tensor actual, Tensor expected, double bound) {
    long columns = expected.size(expected.rank() - 1);
    for (long i = 0; i < expected.elements(); i++) {
      double is = CudaBench.at(actual, i);
      double should = CudaBench.at(expected, i);
      if (!(Math.abs(is - should) <= bound)) {
        throw new AssertionError(
            "%s: [%d, %d] is %s, should be %s within %s"
                .formatted(what, i / columns, i % columns, is, should, bound));
      }
    }
  }

  @Override
  public String toString() {
    return "%d/%d heads of %d %s, pages of %d, window %s, cap %s, %s"
        .formatted(
            shape.heads(),
            shape.kvHeads(),
            shape.headDim(),
            type,
            pageSize,
            shape.window() == AttentionShape.NO_WINDOW ? "none" : shape.window(),
            shape.softCap(),
            sequences);
  }
}
