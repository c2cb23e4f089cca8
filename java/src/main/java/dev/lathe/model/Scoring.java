package dev.lathe.model;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;

/** Runs whole sequences through a decoder and hands out the logits of every token. */
public final class Scoring {
  private static final long LOGIT_BYTES = 64L << 20;
  private static final int MOST_TOKENS = 512;

  private Scoring() {}

  /** Receives logits on the host, in the order of the sequences and of their tokens. */
  @FunctionalInterface
  public interface LogitsConsumer {
    /**
     * Takes the logits that follow tokens {@code firstPosition} and on of a sequence.
     *
     * @param logits [rows, vocabulary] F32 on the host, valid during the call
     */
    void accept(int sequence, int firstPosition, Tensor logits);
  }

  /**
   * Scores sequences, several short ones in a batch and long ones in chunks.
   *
   * @param sequences token ids, beginning-of-sequence included; none empty or longer than the
   *     context
   */
  public static void score(Decoder decoder, List<int[]> sequences, LogitsConsumer consumer) {
    if (sequences.isEmpty()) {
      return;
    }
    int vocabulary = decoder.config().vocabulary();
    int budget = Math.clamp(LOGIT_BYTES / (4L * vocabulary), 16, MOST_TOKENS);
    int longest = sequences.stream().mapToInt(s -> s.length).max().orElseThrow();
    int pages =
        budget + Math.ceilDiv(longest, KvCache.PAGE_SIZE); // a page a token at the very worst
    try (KvCache cache = decoder.newCache(pages, KvCache.PAGE_SIZE);
        DeviceMemory memory = decoder.backend().allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Tensor device = memory.tensor(DType.F32, budget, vocabulary);
      Tensor host = Tensor.of(arena.allocate(device.bytes(), 64), DType.F32, budget, vocabulary);
      new Run(decoder, cache, device, host, budget, sequences, consumer).run();
    }
  }

  /** A piece of a sequence in the batch that is being put together. */
  private record Piece(int sequence, int firstPosition, int tokens, KvSequence cached) {}

  private record Run(
      Decoder decoder,
      KvCache cache,
      Tensor device,
      Tensor host,
      int budget,
      List<int[]> sequences,
      LogitsConsumer consumer) {

    void run() {
      List<Piece> pieces = new ArrayList<>();
      Batch batch = new Batch();
      for (int s = 0; s < sequences.size(); s++) {
        int[] tokens = sequences.get(s);
        KvSequence cached = cache.newSequence(tokens.length);
        for (int from = 0; from < tokens.length; ) {
          int to = Math.min(tokens.length, from + budget - batch.tokenCount());
          // A sequence that fits a batch of its own is not cut: its sums then do not depend on its
          // neighbours.
          if (to < tokens.length && tokens.length <= budget && from == 0 && !pieces.isEmpty()) {
            flush(batch, pieces);
            batch = new Batch();
            continue;
          }
          batch.add(cached, tokens, from, to, Batch.Logits.ALL);
          pieces.add(new Piece(s, from, to - from, to == tokens.length ? cached : null));
          from = to;
          if (batch.tokenCount() == budget) {
            flush(batch, pieces);
            batch = new Batch();
          }
        }
      }
      flush(batch, pieces);
    }

    private void flush(Batch batch, List<Piece> pieces) {
      if (pieces.isEmpty()) {
        return;
      }
      Tensor logits = device.rows(0, batch.tokenCount());
      decoder.forward(batch, cache, logits);
      decoder.backend().download(logits, host.rows(0, batch.tokenCount()).memory());
      int row = 0;
      for (Piece piece : pieces) {
        consumer.accept(
            piece.sequence(), piece.firstPosition(), host.rows(row, row + piece.tokens()));
        row += piece.tokens();
        if (piece.cached() != null) {
          piece.cached().close();
        }
      }
      pieces.clear();
    }
  }
}
