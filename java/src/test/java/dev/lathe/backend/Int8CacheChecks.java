package dev.lathe.backend;

import dev.lathe.backend.AttentionChecks.Case;
import dev.lathe.backend.AttentionChecks.Sequence;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * A cache of INT8 codes and scales, written by {@link Backend#append} and {@link
 * Backend#rotateAndAppend} and read by {@link Backend#attention}, against the reference, which has
 * its own. How a backend lays codes out is its business, so caches are compared by what attention
 * makes of them. What no token wrote is NaN as a scale.
 */
final class Int8CacheChecks {
  private static final List<DType> INT8 = List.of(DType.I8);

  private Int8CacheChecks() {}

  /** What a backend's attention may add to the error of attention in F32. */
  interface Added {
    double of(AttentionShape shape, int pageSize, double largestScore, double largestValue);
  }

  static void attention(Backend backend, Added error) {
    List<Case> cases = new ArrayList<>(AttentionChecks.cases(INT8));
    cases.addAll(AttentionChecks.limitedCases(INT8));
    for (Case c : cases) {
      check("INT8 attention ", backend, c, error, false);
    }
  }

  /** Keys turned by quarters of a circle, which is exact, so that all backends write the same. */
  static void rotateAndAppend(Backend backend, Added error) {
    for (Case c : AttentionChecks.cases(INT8)) {
      check("rotated INT8 attention ", backend, c, error, true);
    }
  }

  private static void check(String what, Backend backend, Case c, Added error, boolean rotated) {
    try (Bench bench = new Bench(backend, new SplittableRandom(c.toString().hashCode()));
        Backend reference = new ReferenceBackend()) {
      BatchTensors batch = AttentionChecks.batch(bench, c);
      BatchTensors contexts = contexts(bench, c, batch);
      Tensor written = bench.normal(contexts.tokenCount(), c.shape().queryKeyValueColumns());
      Tensor qkv = bench.normal(batch.tokenCount(), c.shape().queryKeyValueColumns());
      Tensor rotations = rotated ? quarterTurns(bench, c.shape().headDim()) : null;
      long columns = (long) c.shape().heads() * c.shape().headDim();

      KvLayer expectedCache = poisoned(AttentionChecks.cache(bench, c));
      Tensor expected = bench.empty(DType.F32, batch.tokenCount(), columns);
      if (rotated) {
        reference.rotateAndAppend(
            bench.copy(written), rotations, c.shape(), expectedCache, contexts);
      } else {
        reference.append(written, c.shape(), expectedCache, contexts);
      }
      reference.attention(expected, qkv, c.shape(), expectedCache, batch);

      KvLayer host = poisoned(AttentionChecks.cache(bench, c));
      KvLayer cache = new KvLayer(bench.up(host.keys()), bench.up(host.values()));
      Tensor out = bench.device(DType.F32, batch.tokenCount(), columns);
      BatchTensors contextsUp = AttentionChecks.up(bench, contexts);
      if (rotated) {
        backend.rotateAndAppend(
            bench.up(written), bench.up(rotations), c.shape(), cache, contextsUp);
      } else {
        backend.append(bench.up(written), c.shape(), cache, contextsUp);
      }
      backend.attention(out, bench.up(qkv), c.shape(), cache, AttentionChecks.up(bench, batch));

      double bound = bound(c, qkv, written, error);
      Bench.assertClose(what + c, bench.down(out), expected, (t, col) -> bound);
    }
  }

  /** Element i at position p: by 90 degrees times p + i. */
  private static Tensor quarterTurns(Bench bench, int headDim) {
    Tensor rotations = bench.empty(DType.F32, 140, headDim);
    int[] cosines = {1, 0, -1, 0};
    int half = headDim / 2;
    for (int p = 0; p < 140; p++) {
      for (int i = 0; i < half; i++) {
        long at = (long) p * headDim + i;
        Floats.set(rotations.memory(), DType.F32, at, cosines[(p + i) % 4]);
        Floats.set(rotations.memory(), DType.F32, at + half, cosines[(p + i + 3) % 4]);
      }
    }
    return rotations;
  }

  private static double bound(Case c, Tensor qkv, Tensor written, Added error) {
    int longest = c.sequences().stream().mapToInt(Sequence::context).max().orElseThrow();
    double score = largestScore(c, qkv, written);
    double value = largest(written);
    // Codes times scale are one rounding; a capped score is rounded five times more.
    int roundings = c.shape().headDim() + 1 + (c.shape().softCap() > 0 ? 10 : 0);
    return Tolerance.attention(longest, roundings, score, value)
        + error.of(c.shape(), c.pageSize(), score, value);
  }

  /** Cauchy-Schwarz, and half a step that each element of a key was rounded by. */
  private static double largestScore(Case c, Tensor qkv, Tensor written) {
    int headDim = c.shape().headDim();
    double key = norm(written, headDim);
    double rounded = key * (1 + Math.sqrt(headDim) / 254);
    return c.shape().scale() * norm(qkv, headDim) * rounded;
  }

  private static double norm(Tensor tensor, int headDim) {
    double largest = 0;
    for (long start = 0; start < tensor.elements(); start += headDim) {
      double sum = 0;
      for (int i = 0; i < headDim; i++) {
        double x = Floats.get(tensor.memory(), DType.F32, start + i);
        sum += x * x;
      }
      largest = Math.max(largest, Math.sqrt(sum));
    }
    return largest;
  }

  private static double largest(Tensor tensor) {
    double largest = 0;
    for (long i = 0; i < tensor.elements(); i++) {
      largest = Math.max(largest, Math.abs(Floats.get(tensor.memory(), DType.F32, i)));
    }
    return largest;
  }

  /** All ones: scales that are NaN, and codes that no row has. */
  private static KvLayer poisoned(KvLayer cache) {
    cache.keys().memory().fill((byte) -1);
    cache.values().memory().fill((byte) -1);
    return cache;
  }

  /** All tokens of the batch's contexts as new ones, in the pages that the batch has them in. */
  private static BatchTensors contexts(Bench bench, Case c, BatchTensors batch) {
    List<Integer> positions = new ArrayList<>();
    List<Integer> slots = new ArrayList<>();
    List<Integer> starts = new ArrayList<>(List.of(0));
    MemorySegment blocks = batch.blocks().memory();
    int firstBlock = 0;
    for (Sequence sequence : c.sequences()) {
      for (int p = 0; p < sequence.context(); p++) {
        int page = blocks.get(ValueLayout.JAVA_INT_UNALIGNED, (firstBlock + p / c.pageSize()) * 4L);
        positions.add(p);
        slots.add(page * c.pageSize() + p % c.pageSize());
      }
      starts.add(positions.size());
      firstBlock += Math.ceilDiv(sequence.context(), c.pageSize());
    }
    return new BatchTensors(
        bench.integers(new int[positions.size()]),
        AttentionChecks.integers(bench, positions),
        AttentionChecks.integers(bench, slots),
        AttentionChecks.integers(bench, starts),
        batch.contextLengths(),
        batch.blockStarts(),
        batch.blocks(),
        bench.integers(0));
  }
}
