package dev.lathe.generate;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DrawParameters;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.model.Batch;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tokenize.Tokenizer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.Consumer;

/**
 * Runs requests through a decoder, as many together as fit: each step is one ragged batch, in which
 * some sequences prefill a chunk of their prompt and others decode a token (continuous batching: Yu
 * et al. 2022, Orca). A request is admitted when the cache has room for all that it may generate.
 *
 * <p>Used by one thread.
 */
public final class Engine implements AutoCloseable {
  private static final int TOKENS_PER_STEP = 512;

  private final Decoder decoder;
  private final Tokenizer tokenizer;
  private final EngineOptions options;
  private final KvCache cache;
  private final DeviceMemory memory;
  private final Arena arena = Arena.ofShared();
  private final Tensor logits;
  private final Tensor best;
  private final MemorySegment hostLogits;
  private final MemorySegment hostBest;
  private final float[] row;

  private final Deque<RunningSequence> waiting = new ArrayDeque<>();
  private final List<RunningSequence> running = new ArrayList<>();
  private final List<RunningSequence> sampled = new ArrayList<>();
  private final Batch batch = new Batch();
  private int reservedPages;

  public Engine(Decoder decoder, Tokenizer tokenizer, EngineOptions options) {
    this.decoder = decoder;
    this.tokenizer = tokenizer;
    this.options = options;
    int vocabulary = decoder.config().vocabulary();
    int pages = Math.ceilDiv(options.cacheTokens(), options.pageSize());
    this.cache = decoder.newCache(pages, options.pageSize());
    this.memory = decoder.backend().allocateMemory();
    try {
      int most = options.maxBatch();
      this.logits =
          memory
              .tensor(DType.F32, most, decoder.backend().rowStride(most, vocabulary))
              .columns(0, vocabulary);
      this.best = memory.tensor(DType.I32, options.maxBatch());
    } catch (RuntimeException | Error e) {
      memory.close();
      cache.close();
      throw e;
    }
    this.hostLogits = arena.allocate((long) options.maxBatch() * vocabulary * Float.BYTES, 64);
    this.hostBest = arena.allocate(best.bytes(), 64);
    this.row = new float[vocabulary];
  }

  /**
   * An engine with room for {@code maxBatch} sequences of the model's whole context.
   *
   * @param maxBatch sequences that run together
   */
  public Engine(Decoder decoder, Tokenizer tokenizer, int maxBatch, Cache cache) {
    this(
        decoder,
        tokenizer,
        new EngineOptions(
            maxBatch,
            cache,
            Math.multiplyExact(
                maxBatch, roundUp(decoder.config().contextLength(), KvCache.PAGE_SIZE)),
            TOKENS_PER_STEP,
            KvCache.PAGE_SIZE,
            System::nanoTime));
  }

  /** An engine with room for these requests, {@code maxBatch} of them at a time. */
  public static Engine sizedFor(
      List<GenerationRequest> requests,
      Decoder decoder,
      Tokenizer tokenizer,
      int maxBatch,
      Cache cache) {
    int context = decoder.config().contextLength();
    int tokens =
        requests.stream()
            .mapToInt(r -> roundUp(mostTokens(r, context), KvCache.PAGE_SIZE))
            .boxed()
            .sorted(java.util.Comparator.reverseOrder())
            .limit(maxBatch)
            .reduce(0, Math::addExact);
    return new Engine(
        decoder,
        tokenizer,
        new EngineOptions(
            maxBatch,
            cache,
            Math.max(tokens, 1),
            TOKENS_PER_STEP,
            KvCache.PAGE_SIZE,
            System::nanoTime));
  }

  /** Runs requests to their end, submitted all at once, in the order of the requests. */
  public List<Generation> generate(List<GenerationRequest> requests) {
    List<Handle> handles = new ArrayList<>();
    for (GenerationRequest request : requests) {
      handles.add(submit(request, text -> {}));
    }
    run();
    return handles.stream().map(handle -> handle.result().orElseThrow()).toList();
  }

  /**
   * Takes a request; {@link #step} does the work.
   *
   * @param onText receives the text piece by piece, on the thread that calls {@link #step}
   * @throws InvalidInputException if the prompt does not fit the model's context, or the cache can
   *     never hold what is asked for
   */
  public Handle submit(GenerationRequest request, Consumer<String> onText) {
    int context = decoder.config().contextLength();
    int prompt = request.prompt().length;
    if (prompt >= context) {
      throw new InvalidInputException(
          "the prompt has %d tokens and the model's context is %d: it must be at least one shorter"
              .formatted(prompt, context));
    }
    int most = mostTokens(request, context);
    int pages = Math.ceilDiv(most, options.pageSize());
    if (pages > cache.pages()) {
      throw new InvalidInputException(
          "%d tokens of prompt and %d to generate need %d pages of the KV-cache, which has %d"
              .formatted(prompt, request.maxTokens(), pages, cache.pages()));
    }
    Handle handle = new Handle();
    waiting.add(
        new RunningSequence(
            request,
            handle,
            tokenizer.stream(request.prompt()),
            onText,
            most,
            pages,
            options.clock().getAsLong()));
    return handle;
  }

  /** Steps until every request is done. */
  public void run() {
    while (step()) {}
  }

  /** One step of all the sequences that run together; false if there was nothing to do. */
  public boolean step() {
    admit();
    if (running.isEmpty()) {
      return false;
    }
    batch.clear();
    sampled.clear();
    for (RunningSequence sequence : running) {
      add(sequence);
    }
    Tensor rows = logits.rows(0, batch.logitRowCount());
    decoder.forward(batch, cache, rows);
    if (!sampled.isEmpty()) {
      sample(rows);
    }
    return true;
  }

  private void admit() {
    while (!waiting.isEmpty()
        && running.size() < options.maxBatch()
        && reservedPages + waiting.peek().reservedPages <= cache.pages()) {
      RunningSequence sequence = waiting.remove();
      sequence.cached = cache.newSequence(sequence.mostTokens);
      reservedPages += sequence.reservedPages;
      running.add(sequence);
    }
  }

  private void add(RunningSequence sequence) {
    if (options.cache() == Cache.NONE) {
      sequence.cached.truncate(0);
    }
    int from = sequence.cached.length();
    int to = sequence.length();
    if (options.cache() == Cache.KV && to - from > 1) {
      // Sequences that decode come first in the step's budget: one token each.
      int room = options.tokensPerStep() - batch.tokenCount() - running.size();
      to = Math.min(to, from + Math.max(1, room));
    }
    boolean complete = to == sequence.length();
    batch.add(
        sequence.cached,
        sequence.tokens(),
        from,
        to,
        complete ? Batch.Logits.LAST : Batch.Logits.NONE);
    if (complete) {
      sampled.add(sequence);
    }
  }

  private void sample(Tensor rows) {
    int vocabulary = decoder.config().vocabulary();
    // Before anything is drawn: a repetition penalty changes the logits.
    downloadLogits(rows);
    chooseOnDevice(rows);
    long now = options.clock().getAsLong();
    for (int i = 0; i < sampled.size(); i++) {
      RunningSequence sequence = sampled.get(i);
      if (readsLogits(sequence)) {
        MemorySegment.copy(
            hostLogits, ValueLayout.JAVA_FLOAT, 4L * vocabulary * i, row, 0, vocabulary);
      }
      if (sequence.isFirstToken()) {
        requireFinite(row);
      }
      int token =
          choosesOnHost(sequence)
              ? sequence.choose(row)
              : hostBest.getAtIndex(ValueLayout.JAVA_INT, i);
      if (token < 0 || token >= vocabulary) {
        throw new LatheException(
            LatheException.INVALID,
            "the model's logits are not finite: its weights hold values that are too large");
      }
      FinishReason reason =
          sequence.accept(
              token,
              now,
              decoder.config().contextLength(),
              decoder.config().endOfSequence().contains(token));
      if (reason != null) {
        finish(sequence, reason);
      }
    }
  }

  /** Where log probabilities are asked for, or the backend leaves sampling to the host. */
  private boolean choosesOnHost(RunningSequence sequence) {
    return sequence.wantsLogprobs()
        || (!sequence.isGreedy()
            && decoder.backend().sampledColumns() < decoder.config().vocabulary());
  }

  /** The first token of each also shows whether the model computes numbers at all. */
  private boolean readsLogits(RunningSequence sequence) {
    return sequence.isFirstToken() || choosesOnHost(sequence);
  }

  /** Of the rows that the host looks at, neighbours together where they lie so. */
  private void downloadLogits(Tensor rows) {
    long rowBytes = rows.size(1) * Float.BYTES;
    boolean apart = rows.rowStride() != rows.size(1);
    for (int from = 0; from < sampled.size(); from++) {
      int to = from;
      while (to < sampled.size() && readsLogits(sampled.get(to)) && !(apart && to > from)) {
        to++;
      }
      if (to > from) {
        MemorySegment host = hostLogits.asSlice(from * rowBytes, (to - from) * rowBytes);
        decoder.backend().download(rows.rows(from, to), host);
        from = to - 1;
      }
    }
  }

  /** Tokens of all rows but those that the host chooses, whose rows then hold anything. */
  private void chooseOnDevice(Tensor rows) {
    boolean allOnHost = true;
    boolean allLargest = true;
    for (RunningSequence sequence : sampled) {
      boolean onHost = choosesOnHost(sequence);
      allOnHost &= onHost;
      allLargest &= onHost || sequence.isGreedy();
    }
    if (allOnHost) {
      return;
    }
    Tensor chosen = best.rows(0, sampled.size());
    if (allLargest) {
      decoder.backend().argmax(chosen, rows);
    } else {
      List<DrawParameters> draws = new ArrayList<>();
      List<int[]> contexts = new ArrayList<>();
      for (RunningSequence sequence : sampled) {
        boolean onHost = choosesOnHost(sequence);
        draws.add(onHost ? DrawParameters.LARGEST : sequence.draw());
        contexts.add(onHost ? new int[0] : sequence.penalized());
      }
      decoder.backend().sample(chosen, rows, draws, contexts);
    }
    decoder.backend().download(chosen, hostBest.asSlice(0, chosen.bytes()));
  }

  private void finish(RunningSequence sequence, FinishReason reason) {
    running.remove(sequence);
    sequence.cached.close();
    reservedPages -= sequence.reservedPages;
    sequence.handle.complete(sequence.finish(reason));
  }

  private static void requireFinite(float[] logits) {
    for (int i = 0; i < logits.length; i++) {
      if (!Float.isFinite(logits[i])) {
        throw new LatheException(
            LatheException.INVALID,
            "the model's logit of token %d is %s: its weights hold values that are not finite"
                    .formatted(i, logits[i])
                + " or too large");
      }
    }
  }

  private static int mostTokens(GenerationRequest request, int contextLength) {
    return (int) Math.min((long) request.prompt().length + request.maxTokens(), contextLength);
  }

  private static int roundUp(int value, int multiple) {
    return Math.multiplyExact(Math.ceilDiv(value, multiple), multiple);
  }

  @Override
  public void close() {
    for (RunningSequence sequence : running) {
      sequence.cached.close();
    }
    running.clear();
    waiting.clear();
    memory.close();
    cache.close();
    arena.close();
  }
}
