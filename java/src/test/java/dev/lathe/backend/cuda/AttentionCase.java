package dev.lathe.backend.cuda;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.KvLayer;
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
    long[] size = {pages() + 3L, shape.kvHeads(), pageSize, shape.headDim()};
    KvLayer cache = new KvLayer(bench.host(type, size), bench.host(type, size));
    fill(cache.keys(), Float.NaN);
    fill(cache.values(), Float.NaN);
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
    for (int head = 0; head < shape.kvHeads(); head++) {
      long first = (((long) page * shape.kvHeads() + head) * pageSize + row) * shape.headDim();
      for (long i = first; i < first + shape.headDim(); i++) {
        Floats.set(cache.keys().memory(), type, i, (float) random.nextGaussian());
        Floats.set(cache.values().memory(), type, i, (float) random.nextGaussian());
      }
    }
  }

  static void fill(Tensor tensor, float value) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, value);
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
    double score = shape.scale() * largestNorm(data.qkv) * largestNorm(data.cache.keys());
    double scoreError =
        score * ((dotProduct + 5 + (shape.softCap() > 0 ? 10 : 0)) * u + arithmetic.queryRounding);
    double probability =
        scoreError + (5.0 * Math.ceilDiv(longest, arithmetic.keysAtATime) + 18) * u;
    int steps = Math.ceilDiv(Math.ceilDiv(longest, 16), arithmetic.sharers) + 1;
    int additions =
        arithmetic.parts == 0
            ? 2 * (longest + 8)
            : 22 * arithmetic.parts * steps + 24 + 4 * steps + 24;
    return largest(data.cache.values())
        * (2 * probability + additions * u + arithmetic.probabilityRounding);
  }

  private double largestNorm(Tensor tensor) {
    double largest = 0;
    for (long start = 0; start < tensor.elements(); start += shape.headDim()) {
      double sum = 0;
      for (int i = 0; i < shape.headDim(); i++) {
        double x = CudaBench.at(tensor, start + i);
        sum += Double.isNaN(x) ? 0 : x * x;
      }
      largest = Math.max(largest, Math.sqrt(sum));
    }
    return largest;
  }

  private static double largest(Tensor tensor) {
    double largest = 0;
    for (long i = 0; i < tensor.elements(); i++) {
      double x = Math.abs(CudaBench.at(tensor, i));
      largest = x > largest ? x : largest;
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
