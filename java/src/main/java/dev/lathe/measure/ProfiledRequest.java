package dev.lathe.measure;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.measure.Profiler.Options;
import dev.lathe.model.Batch;
import dev.lathe.model.Batch.Logits;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.LongSupplier;

/**
 * The request that is profiled: prefill of all sequences at once, then decode steps, one token of
 * each sequence a step. Its tokens follow from the seed, not from the logits, so that nothing is
 * read back and every run does the same work.
 */
final class ProfiledRequest {
  /** Sees a phase or a step begin and end; outside of what is timed. */
  interface Watch {
    Watch NONE = new Watch() {};

    /** The device is idle. */
    default void begin(String phase) {}

    /** The device has done all of it. */
    default void end(String phase) {}

    default void stepBegins() {}

    default void stepEnds() {}
  }

  /** What the phases took, on the host's clock. */
  record Times(long prefillNanos, long decodeNanos) {
    long of(String phase) {
      return phase.equals(Profiler.PREFILL) ? prefillNanos : decodeNanos;
    }
  }

  private ProfiledRequest() {}

  static Times run(Decoder through, Options options, LongSupplier clock, Watch watch) {
    SplittableRandom random = new SplittableRandom(options.seed());
    Backend backend = through.backend();
    int vocabulary = through.config().vocabulary();
    int most = options.promptTokens() + options.decodeTokens();
    int pages = options.sequences() * Math.ceilDiv(most, KvCache.PAGE_SIZE);
    List<KvSequence> sequences = new ArrayList<>();
    try (KvCache cache = through.newCache(pages, KvCache.PAGE_SIZE);
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor logits = memory.tensor(DType.F32, options.sequences(), vocabulary);
      Batch prompt = new Batch();
      for (int s = 0; s < options.sequences(); s++) {
        sequences.add(cache.newSequence(most));
        int[] tokens = random.ints(options.promptTokens(), 0, vocabulary).toArray();
        prompt.add(sequences.getLast(), tokens, Logits.LAST);
      }
      backend.synchronize();
      watch.begin(Profiler.PREFILL);
      long start = clock.getAsLong();
      step(through, prompt, cache, logits, watch);
      backend.synchronize();
      long prefilled = clock.getAsLong();
      watch.end(Profiler.PREFILL);
      watch.begin(Profiler.DECODE);
      long decodeStart = clock.getAsLong();
      for (int i = 0; i < options.decodeTokens(); i++) {
        Batch step = new Batch();
        for (KvSequence sequence : sequences) {
          step.add(sequence, new int[] {random.nextInt(vocabulary)}, Logits.LAST);
        }
        step(through, step, cache, logits, watch);
      }
      backend.synchronize();
      long end = clock.getAsLong();
      watch.end(Profiler.DECODE);
      sequences.forEach(KvSequence::close);
      return new Times(prefilled - start, end - decodeStart);
    }
  }

  private static void step(
      Decoder through, Batch batch, KvCache cache, Tensor logits, Watch watch) {
    watch.stepBegins();
    through.forward(batch, cache, logits);
    watch.stepEnds();
  }
}
