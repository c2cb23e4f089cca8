package dev.lathe.generate;

import dev.lathe.backend.DrawParameters;
import dev.lathe.model.KvSequence;
import dev.lathe.tokenize.TokenStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;

/** A request on its way through the engine: its tokens, its place in the cache, its text. */
final class RunningSequence {
  final GenerationRequest request;
  final Handle handle;
  private final Sampler sampler;
  final int mostTokens;
  final int reservedPages;

  private final TokenStream stream;
  private final StopMatcher stops;
  private final Consumer<String> onText;
  private final StringBuilder text = new StringBuilder();
  private final long submittedNanos;

  /** Prompt and generated tokens. */
  private int[] tokens;

  private int length;
  private long[] tokenNanos = new long[16];
  private final List<TokenLogprobs> logprobs = new ArrayList<>();
  private int generated;

  KvSequence cached;

  RunningSequence(
      GenerationRequest request,
      Handle handle,
      TokenStream stream,
      Consumer<String> onText,
      int mostTokens,
      int reservedPages,
      long submittedNanos) {
    this.request = request;
    this.handle = handle;
    this.sampler = new Sampler(request.sampling());
    this.stream = stream;
    this.stops = new StopMatcher(request.stop());
    this.onText = onText;
    this.mostTokens = mostTokens;
    this.reservedPages = reservedPages;
    this.submittedNanos = submittedNanos;
    this.tokens = Arrays.copyOf(request.prompt(), request.prompt().length + 16);
    this.length = request.prompt().length;
  }

  int[] tokens() {
    return tokens;
  }

  /** Tokens so far, the prompt's included. */
  int length() {
    return length;
  }

  boolean isFirstToken() {
    return generated == 0;
  }

  /** True where the next token is that of the largest logit as computed. */
  boolean isGreedy() {
    return request.sampling().isGreedy();
  }

  /** True where log probabilities are asked for. */
  boolean wantsLogprobs() {
    return request.logprobs() >= 0;
  }

  /** What a device draws the next token by; each token before took one random number. */
  DrawParameters draw() {
    return request.sampling().draw(generated);
  }

  /** The tokens that a repetition penalty falls on; none where there is no penalty. */
  int[] penalized() {
    return Arrays.copyOf(tokens, request.sampling().repetitionPenalty() == 1 ? 0 : length);
  }

  /**
   * The next token by its logits.
   *
   * @param logits of the whole vocabulary; changed
   */
  int choose(float[] logits) {
    float[] asComputed = request.logprobs() >= 0 ? logits.clone() : null;
    int token = sampler.draw(logits, tokens, length);
    if (asComputed != null) {
      logprobs.add(TokenLogprobs.of(asComputed, token, request.logprobs()));
    }
    return token;
  }

  /** Takes the next token; tells why the generation ends with it, or null. */
  FinishReason accept(int token, long nanos, int contextLength, boolean endOfSequence) {
    if (length == tokens.length) {
      tokens = Arrays.copyOf(tokens, 2 * length);
    }
    if (generated == tokenNanos.length) {
      tokenNanos = Arrays.copyOf(tokenNanos, 2 * generated);
    }
    tokens[length++] = token;
    tokenNanos[generated++] = nanos;
    if (endOfSequence && !request.ignoreEos()) {
      return FinishReason.END_OF_SEQUENCE;
    }
    emit(stops.accept(stream.next(token)));
    if (stops.isStopped()) {
      return FinishReason.STOP;
    }
    if (generated == request.maxTokens()) {
      return FinishReason.LENGTH;
    }
    return length == contextLength ? FinishReason.CONTEXT_FULL : null;
  }

  Generation finish(FinishReason reason) {
    emit(stops.accept(stream.finish()));
    emit(stops.finish());
    return new Generation(
        Arrays.copyOfRange(tokens, length - generated, length),
        text.toString(),
        stops.isStopped() ? FinishReason.STOP : reason,
        request.prompt().length,
        submittedNanos,
        Arrays.copyOf(tokenNanos, generated),
        logprobs);
  }

  private void emit(String piece) {
    if (!piece.isEmpty()) {
      text.append(piece);
      onText.accept(piece);
    }
  }
}
