package dev.lathe.model;

import java.util.Arrays;

/**
 * One step's work: the next tokens of one or many sequences, one sequence after another. Prefill,
 * decode, chunks of a prompt and drafts to verify are the same call with other numbers.
 *
 * <p>Arrays are those of {@link dev.lathe.backend.BatchTensors}.
 */
public final class Batch {
  private final Ints tokens = new Ints();
  private final Ints positions = new Ints();
  private final Ints slots = new Ints();
  private final Ints queryStarts = new Ints();
  private final Ints contextLengths = new Ints();
  private final Ints blockStarts = new Ints();
  private final Ints blocks = new Ints();
  private final Ints logitRows = new Ints();
  private final Ints[] arrays = {
    tokens, positions, slots, queryStarts, contextLengths, blockStarts, blocks, logitRows
  };
  private int rotations;

  /** Whose logits a sequence asks for. */
  public enum Logits {
    /** Of none of these tokens: a chunk of a prompt that goes on. */
    NONE,
    /** Of the last: to generate. */
    LAST,
    /** Of each: to evaluate. */
    ALL
  }

  public Batch() {
    queryStarts.add(0);
    blockStarts.add(0);
  }

  /** As new, with the room that it has. */
  public void clear() {
    for (Ints ints : arrays()) {
      ints.size = 0;
    }
    queryStarts.add(0);
    blockStarts.add(0);
    rotations = 0;
  }

  /**
   * Adds the next tokens of a sequence and makes room for them in its cache. A sequence appears at
   * most once in a batch.
   *
   * @throws CacheFullException if the cache has no room; the batch is then as it was
   */
  public Batch add(KvSequence sequence, int[] next, Logits logits) {
    return add(sequence, next, 0, next.length, logits);
  }

  /** The same with {@code next[from]} to {@code next[to - 1]}. */
  public Batch add(KvSequence sequence, int[] next, int from, int to, Logits logits) {
    if (to <= from) {
      throw new IllegalArgumentException("a sequence without new tokens has no place in a batch");
    }
    int start = sequence.length();
    sequence.append(to - from);
    for (int i = from; i < to; i++) {
      int position = start + i - from;
      tokens.add(next[i]);
      positions.add(sequence.rotation(position));
      slots.add(sequence.slot(position));
      if (logits == Logits.ALL || (logits == Logits.LAST && i == to - 1)) {
        logitRows.add(tokens.size - 1);
      }
    }
    queryStarts.add(tokens.size);
    contextLengths.add(sequence.length());
    rotations = Math.max(rotations, sequence.rotation(sequence.length()));
    for (int i = 0; i < sequence.blockCount(); i++) {
      blocks.add(sequence.block(i));
    }
    blockStarts.add(blocks.size);
    return this;
  }

  /** Whether each sequence has one new token and asks for its logits: the step that is repeated. */
  boolean isDecode() {
    return tokens.size == contextLengths.size && logitRows.size == tokens.size;
  }

  public int tokenCount() {
    return tokens.size;
  }

  public int sequenceCount() {
    return contextLengths.size;
  }

  /** Rows of logits that the batch asks for. */
  public int logitRowCount() {
    return logitRows.size;
  }

  /** Rows that the table of rotations must have. */
  int rotationRows() {
    return rotations;
  }

  /** Positions go from 0 to below this. */
  int positionLimit() {
    int limit = 0;
    for (int i = 0; i < contextLengths.size; i++) {
      limit = Math.max(limit, contextLengths.values[i]);
    }
    return limit;
  }

  int token(int index) {
    return tokens.values[index];
  }

  /** The eight arrays, in the order of {@link dev.lathe.backend.BatchTensors}. */
  Ints[] arrays() {
    return arrays;
  }

  /** A growing array of ints. */
  static final class Ints {
    int[] values = new int[16];
    int size;

    void add(int value) {
      if (size == values.length) {
        values = Arrays.copyOf(values, 2 * size);
      }
      values[size++] = value;
    }
  }
}
