package dev.lathe.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * How the next token of one row is drawn: what a request's sampling says, and how often it was
 * drawn from before.
 *
 * @param temperature 0 takes the most likely token
 * @param topK 0 is off
 * @param topP in (0, 1]; 1 is off
 * @param minP in [0, 1]; 0 is off
 * @param repetitionPenalty 1 is off
 * @param draw how many tokens the generator of this seed has given before
 */
record DrawParameters(
    double temperature,
    int topK,
    double topP,
    double minP,
    double repetitionPenalty,
    long seed,
    long draw) {
  /** I64 values that a row takes: {@code Parameters} of sampling.cu. */
  static final int LONGS = 8;

  void write(MemorySegment rows, int row) {
    long at = (long) row * LONGS;
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at, temperature);
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at + 1, topP);
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at + 2, minP);
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at + 3, repetitionPenalty);
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 4, topK);
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 5, seed);
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 6, draw);
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 7, 0);
  }
}
