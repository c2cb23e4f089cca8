package dev.lathe.model;

import java.util.Arrays;

/**
 * The tokens of one sequence in a {@link KvCache}: how many there are, and the pages that hold
 * them. Closing it gives the pages back.
 */
public final class KvSequence implements AutoCloseable {
  private final KvCache cache;
  private final int mostTokens;
  private final int claimed;
  private final int claimedPages;
  private final int firstRotation;
  private int[] blocks = new int[4];
  private int blockCount;
  private int length;
  private boolean closed;

  /**
   * @param mostTokens that it will ever have
   * @param claimed the first of the pages that were set aside for it, or a negative number
   * @param firstRotation the row of the table of rotations that belongs to its first token
   */
  KvSequence(KvCache cache, int mostTokens, int claimed, int claimedPages, int firstRotation) {
    this.cache = cache;
    this.mostTokens = mostTokens;
    this.claimed = claimed;
    this.claimedPages = claimedPages;
    this.firstRotation = firstRotation;
  }

  /** The row of the table of rotations that belongs to a token. */
  int rotation(int position) {
    return firstRotation + position;
  }

  /** Tokens in the cache. */
  public int length() {
    return length;
  }

  /** Pages in use, in the order of the sequence. */
  public int[] blocks() {
    return Arrays.copyOf(blocks, blockCount);
  }

  int blockCount() {
    return blockCount;
  }

  int block(int index) {
    return blocks[index];
  }

  /** Where token {@code position} lies: {@code page * pageSize + row}. */
  int slot(int position) {
    int pageSize = cache.pageSize();
    return blocks[position / pageSize] * pageSize + position % pageSize;
  }

  /**
   * Makes room for more tokens.
   *
   * @throws CacheFullException if too few pages are free; the sequence is then as it was
   * @throws IllegalArgumentException if these are more than it was opened for
   */
  void append(int tokens) {
    if (closed) {
      throw new IllegalStateException("the sequence is closed");
    }
    if (tokens > mostTokens - length) {
      throw new IllegalArgumentException(
          "%d tokens after %d are more than the %d that the sequence was opened for"
              .formatted(tokens, length, mostTokens));
    }
    int needed = Math.ceilDiv(Math.addExact(length, tokens), cache.pageSize()) - blockCount;
    if (needed > 0) {
      if (blockCount + needed > blocks.length) {
        blocks = Arrays.copyOf(blocks, Math.max(2 * blocks.length, blockCount + needed));
      }
      cache.take(blocks, blockCount, needed, claimed, claimedPages);
      blockCount += needed;
    }
    length += tokens;
  }

  /** Forgets all but the first tokens, and gives back the pages that are then empty. */
  public void truncate(int tokens) {
    if (tokens < 0 || tokens > length) {
      throw new IllegalArgumentException("cannot cut %d tokens to %d".formatted(length, tokens));
    }
    int kept = Math.ceilDiv(tokens, cache.pageSize());
    cache.giveBack(blocks, kept, blockCount - kept);
    blockCount = kept;
    length = tokens;
  }

  @Override
  public void close() {
    if (!closed) {
      truncate(0);
      closed = true;
      cache.forget(claimed, claimedPages);
    }
  }
}
