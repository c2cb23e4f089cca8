package dev.lathe.backend;

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
 * {@link Backend#rotateAndAppend} and {@link Backend#attention} against the reference, over ragged
 * batches. Slots that no token of the batch may see hold a large number, so that reading one shows.
 */
final class AttentionChecks {
  /** Finite in F16 too, and far from anything that attention can give. */
  private static final float POISON = 3e4f;

  private AttentionChecks() {}

  /**
   * How much a backend rounds queries and probabilities beside a cache, relative to each: it says
   * so in its conformance test.
   */
  interface Rounding {
    double of(DType cacheType, AttentionShape shape, int pageSize);
  }

  private static final Rounding NONE = (cacheType, shape, pageSize) -> 0;

  /** New tokens at the end of a context. */
  record Sequence(int context, int newTokens) {}

  record Case(AttentionShape shape, int pageSize, DType type, List<Sequence> sequences) {}

  private static final List<List<Sequence>> BATCHES =
      List.of(
          List.of(new Sequence(1, 1)),
          List.of(new Sequence(5, 5)),
          List.of(new Sequence(130, 1)),
          List.of(new Sequence(65, 65)),
          // Prefill, decode, a chunk in the middle, a first token; ends on and beside page ends.
          List.of(
              new Sequence(33, 33),
              new Sequence(17, 1),
              new Sequence(1, 1),
              new Sequence(40, 3),
              new Sequence(32, 1),
              new Sequence(16, 16)));

  static List<Case> cases(List<DType> types) {
    List<Case> cases = new ArrayList<>();
    for (int pageSize : new int[] {1, 16, 32}) {
      for (int[] heads : new int[][] {{2, 2}, {4, 2}, {8, 1}, {16, 2}}) {
        for (int headDim : new int[] {8, 10, 32, 64}) {
          AttentionShape shape = new AttentionShape(heads[0], heads[1], headDim, scale(headDim));
          add(cases, types, shape, pageSize);
        }
      }
    }
    add(cases, types, new AttentionShape(2, 2, 128, scale(128)), 16);
    return cases;
  }

  /**
   * Windows of one token, shorter and longer than contexts, ends inside pages and at their ends;
   * caps below and above the scores; both; heads of an odd size.
   */
  static List<Case> limitedCases(List<DType> types) {
    int all = AttentionShape.NO_WINDOW;
    float none = AttentionShape.NO_CAP;
    List<Case> cases = new ArrayList<>();
    for (int pageSize : new int[] {1, 16}) {
      for (int headDim : new int[] {7, 8, 64}) {
        float scale = scale(headDim);
        for (int window : new int[] {1, 7, 16, 40}) {
          add(cases, types, new AttentionShape(4, 2, headDim, scale, window, none), pageSize);
        }
        add(cases, types, new AttentionShape(4, 2, headDim, scale, all, 0.7f), pageSize);
        add(cases, types, new AttentionShape(3, 1, headDim, scale, all, 50), pageSize);
        add(cases, types, new AttentionShape(4, 4, headDim, scale, 16, 2), pageSize);
      }
    }
    return cases;
  }

  private static float scale(int headDim) {
    return (float) (1 / Math.sqrt(headDim));
  }

  private static void add(List<Case> cases, List<DType> types, AttentionShape shape, int pageSize) {
    for (DType type : types) {
      for (List<Sequence> batch : BATCHES) {
        cases.add(new Case(shape, pageSize, type, batch));
      }
    }
  }

  /** The types whose rows any backend lays out as the reference does: not codes and scales. */
  private static List<DType> floating(Backend backend) {
    return backend.cacheTypes().stream().filter(DType::isFloating).toList();
  }

  /** Keys and values in the cache, bit by bit, and nothing else changed. */
  static void append(Backend backend) {
    for (Case c : limitedCases(floating(backend))) {
      try (Bench bench = new Bench(backend, new SplittableRandom(c.toString().hashCode()));
          Backend reference = new ReferenceBackend()) {
        BatchTensors batch = batch(bench, c);
        Tensor qkv = bench.normal(batch.tokenCount(), c.shape.queryKeyValueColumns());
        KvLayer before = cache(bench, c);
        poison(before.keys());
        poison(before.values());
        KvLayer expected = new KvLayer(bench.copy(before.keys()), bench.copy(before.values()));
        reference.append(qkv, c.shape, expected, batch);
        KvLayer cache = new KvLayer(bench.up(before.keys()), bench.up(before.values()));
        Tensor given = bench.up(qkv);
        backend.append(given, c.shape, cache, up(bench, batch));
        Bench.assertSame("append: keys of " + c, bench.down(cache.keys()), expected.keys());
        Bench.assertSame("append: values of " + c, bench.down(cache.values()), expected.values());
        Bench.assertSame("append: qkv of " + c, bench.down(given), qkv);
      }
    }
  }

  static void rotateAndAppend(Backend backend) {
    for (Case c : cases(floating(backend))) {
      try (Bench bench = new Bench(backend, new SplittableRandom(c.toString().hashCode()));
          Backend reference = new ReferenceBackend()) {
        BatchTensors batch = batch(bench, c);
        Tensor qkv = bench.normal(batch.tokenCount(), c.shape.queryKeyValueColumns());
        Tensor rotations = rotations(bench, 140, c.shape.headDim());
        KvLayer before = cache(bench, c);
        poison(before.keys());
        poison(before.values());

        Tensor expected = bench.copy(qkv);
        KvLayer expectedCache = new KvLayer(bench.copy(before.keys()), bench.copy(before.values()));
        reference.rotateAndAppend(expected, rotations, c.shape, expectedCache, batch);

        Tensor out = bench.up(qkv);
        KvLayer cache = new KvLayer(bench.up(before.keys()), bench.up(before.values()));
        backend.rotateAndAppend(out, bench.up(rotations), c.shape, cache, up(bench, batch));

        // Only the queries are promised to be turned in place.
        long queries = (long) c.shape.heads() * c.shape.headDim();
        double largest = largest(qkv);
        double rotation = Tolerance.rotation(largest, largest);
        Bench.assertClose(
            "rotateAndAppend: queries of " + c,
            bench.down(out),
            expected,
            (token, column) -> column < queries ? rotation : Double.POSITIVE_INFINITY);
        double stored = rotation + Tolerance.stored(c.type, 2 * largest);
        Tensor was =
            before.keys().reshape(before.keys().elements() / c.shape.headDim(), c.shape.headDim());
        Bench.assertClose(
            "rotateAndAppend: keys of " + c,
            bench.down(cache.keys()),
            expectedCache.keys(),
            (row, column) -> untouched(was, expectedCache.keys(), row) ? 0 : stored);
        Bench.assertSame(
            "rotateAndAppend: values of " + c, bench.down(cache.values()), expectedCache.values());
      }
    }
  }

  /** A row that no token of the batch belongs to. */
  private static boolean untouched(Tensor before, Tensor after, long row) {
    return Bench.at(before, row, 0)
        == Floats.get(after.memory(), after.dtype(), row * before.size(1));
  }

  static void attention(Backend backend) {
    attention(backend, NONE);
  }

  static void attention(Backend backend, Rounding rounding) {
    attention(backend, cases(floating(backend)), rounding);
  }

  static void limitedAttention(Backend backend) {
    limitedAttention(backend, NONE);
  }

  static void limitedAttention(Backend backend, Rounding rounding) {
    attention(backend, limitedCases(floating(backend)), rounding);
  }

  private static void attention(Backend backend, List<Case> cases, Rounding rounding) {
    for (Case c : cases) {
      try (Bench bench = new Bench(backend, new SplittableRandom(c.toString().hashCode()));
          Backend reference = new ReferenceBackend()) {
        BatchTensors batch = batch(bench, c);
        Tensor qkv = bench.normal(batch.tokenCount(), c.shape.queryKeyValueColumns());
        KvLayer host = cache(bench, c);
        poison(host.keys());
        poison(host.values());
        double largestValue = fillContexts(bench, host, c, batch);

        long columns = (long) c.shape.heads() * c.shape.headDim();
        Tensor expected = bench.empty(DType.F32, batch.tokenCount(), columns);
        reference.attention(expected, qkv, c.shape, host, batch);

        Tensor out = bench.device(DType.F32, batch.tokenCount(), columns);
        KvLayer cache = new KvLayer(bench.up(host.keys()), bench.up(host.values()));
        backend.attention(out, bench.up(qkv), c.shape, cache, up(bench, batch));

        int longest = c.sequences.stream().mapToInt(Sequence::context).max().orElseThrow();
        // Cauchy-Schwarz: no sum of |q_i||k_i| is larger than |q| |k|.
        double largestScore =
            c.shape.scale()
                * largestNorm(qkv, c.shape.headDim())
                * largestNorm(host.keys(), c.shape.headDim());
        // A capped score is no larger, and rounded five times more (Tolerance.softCap).
        int roundings = c.shape.headDim() + (c.shape.softCap() > 0 ? 10 : 0);
        double bound =
            Tolerance.attention(longest, roundings, largestScore, largestValue)
                + Tolerance.roundedAttention(
                    rounding.of(c.type, c.shape, c.pageSize), largestScore, largestValue);
        Bench.assertClose("attention " + c, bench.down(out), expected, (t, col) -> bound);
      }
    }
  }

  static KvLayer cache(Bench bench, Case c) {
    long pages = pages(c) + 3L;
    long[] shape = KvLayer.shape(c.type, pages, c.shape.kvHeads(), c.pageSize, c.shape.headDim());
    return new KvLayer(bench.empty(c.type, shape), bench.empty(c.type, shape));
  }

  private static int pages(Case c) {
    return c.sequences.stream().mapToInt(s -> Math.ceilDiv(s.context, c.pageSize)).sum();
  }

  private static void poison(Tensor tensor) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, POISON);
    }
  }

  /** Pages in no order, three of them nobody's. */
  static BatchTensors batch(Bench bench, Case c) {
    List<Integer> free = new ArrayList<>(IntStream.range(0, pages(c) + 3).boxed().toList());
    Collections.shuffle(free, new Random(bench.random.nextLong()));
    List<Integer> positions = new ArrayList<>();
    List<Integer> slots = new ArrayList<>();
    List<Integer> blocks = new ArrayList<>();
    int[] queryStarts = new int[c.sequences.size() + 1];
    int[] blockStarts = new int[c.sequences.size() + 1];
    int[] contexts = new int[c.sequences.size()];
    for (int s = 0; s < contexts.length; s++) {
      Sequence sequence = c.sequences.get(s);
      contexts[s] = sequence.context;
      for (int i = 0; i < Math.ceilDiv(sequence.context, c.pageSize); i++) {
        blocks.add(free.removeLast());
      }
      for (int p = sequence.context - sequence.newTokens; p < sequence.context; p++) {
        positions.add(p);
        slots.add(blocks.get(blockStarts[s] + p / c.pageSize) * c.pageSize + p % c.pageSize);
      }
      queryStarts[s + 1] = positions.size();
      blockStarts[s + 1] = blocks.size();
    }
    return new BatchTensors(
        bench.integers(new int[positions.size()]),
        integers(bench, positions),
        integers(bench, slots),
        bench.integers(queryStarts),
        bench.integers(contexts),
        bench.integers(blockStarts),
        integers(bench, blocks),
        bench.integers(0));
  }

  static Tensor integers(Bench bench, List<Integer> values) {
    return bench.integers(values.stream().mapToInt(Integer::intValue).toArray());
  }

  static BatchTensors up(Bench bench, BatchTensors batch) {
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

  /** Random keys and values where the sequences' tokens lie; returns the largest of them. */
  private static double fillContexts(Bench bench, KvLayer cache, Case c, BatchTensors batch) {
    double largest = 0;
    for (int s = 0; s < c.sequences.size(); s++) {
      long firstBlock = (long) Bench.at(batch.blockStarts(), 0, s);
      for (int p = 0; p < c.sequences.get(s).context; p++) {
        long page = (long) Bench.at(batch.blocks(), 0, firstBlock + p / c.pageSize);
        for (int head = 0; head < cache.kvHeads(); head++) {
          long row = (page * cache.kvHeads() + head) * c.pageSize + p % c.pageSize;
          for (long i = row * cache.headDim(); i < (row + 1) * cache.headDim(); i++) {
            float key = (float) bench.random.nextGaussian();
            float value = (float) bench.random.nextGaussian();
            Floats.set(cache.keys().memory(), c.type, i, key);
            Floats.set(cache.values().memory(), c.type, i, value);
            largest = Math.max(largest, Math.max(Math.abs(key), Math.abs(value)));
          }
        }
      }
    }
    return largest * (1 + Tolerance.U_BF16);
  }

  /** The longest of the heads' vectors, poison aside. */
  private static double largestNorm(Tensor tensor, int headDim) {
    double largest = 0;
    for (long start = 0; start < tensor.elements(); start += headDim) {
      double sum = 0;
      for (int i = 0; i < headDim; i++) {
        double x = Floats.get(tensor.memory(), tensor.dtype(), start + i);
        sum += Math.abs(x) < POISON / 2 ? x * x : 0;
      }
      largest = Math.max(largest, Math.sqrt(sum));
    }
    return largest;
  }

  private static double largest(Tensor tensor) {
    double largest = 0;
    for (long i = 0; i < tensor.elements(); i++) {
      largest = Math.max(largest, Math.abs(Floats.get(tensor.memory(), tensor.dtype(), i)));
    }
    return largest;
  }

  private static Tensor rotations(Bench bench, int positions, int headDim) {
    int half = headDim / 2;
    Tensor rotations = bench.empty(DType.F32, positions, headDim);
    for (int p = 0; p < positions; p++) {
      for (int i = 0; i < half; i++) {
        double angle = p * Math.pow(10000, -2.0 * i / headDim);
        long at = (long) p * headDim + i;
        Floats.set(rotations.memory(), DType.F32, at, (float) Math.cos(angle));
        Floats.set(rotations.memory(), DType.F32, at + half, (float) Math.sin(angle));
      }
    }
    return rotations;
  }
}
