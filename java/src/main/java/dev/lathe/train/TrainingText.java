package dev.lathe.train;

import dev.lathe.train.corpus.Draw;
import java.util.ArrayList;
import java.util.List;

/**
 * Tokens to learn from. A window starts at the beginning of a document, as every text does that the
 * model will be asked about, and goes on through the documents that follow.
 */
final class TrainingText {
  private final int[] tokens;
  private final int[] starts;

  /**
   * @param documents each with its begin and end tokens
   */
  TrainingText(List<int[]> documents) {
    tokens = documents.stream().flatMapToInt(java.util.Arrays::stream).toArray();
    List<Integer> found = new ArrayList<>();
    int start = 0;
    for (int[] document : documents) {
      found.add(start);
      start += document.length;
    }
    starts = found.stream().mapToInt(Integer::intValue).toArray();
  }

  long size() {
    return tokens.length;
  }

  /** A batch of windows: inputs, and after each its target; both [batch * length]. */
  record Windows(int[] inputs, int[] targets) {}

  /** The windows of a step: a function of seed and step alone, so that a resumed run goes on. */
  Windows draw(long seed, long step, int batch, int length) {
    // Mixed: the generator's own state goes on by a fixed amount, so that states that differ by
    // whole
    // steps would draw the windows of the step before again, shifted by one.
    Draw draw = new Draw(Draw.mix(Draw.mix(seed) + step));
    Windows windows = new Windows(new int[batch * length], new int[batch * length]);
    for (int b = 0; b < batch; b++) {
      copy(starts[draw.below(starts.length)], windows, b, length);
    }
    return windows;
  }

  /** Every token once as a target, in windows one after another; the rest of the last has none. */
  List<Windows> all(int batch, int length) {
    List<Windows> all = new ArrayList<>();
    int at = 0;
    while (at < tokens.length - 1) {
      Windows windows = new Windows(new int[batch * length], new int[batch * length]);
      java.util.Arrays.fill(windows.targets(), -1);
      for (int b = 0; b < batch && at < tokens.length - 1; b++) {
        int count = Math.min(length, tokens.length - 1 - at);
        System.arraycopy(tokens, at, windows.inputs(), b * length, count);
        System.arraycopy(tokens, at + 1, windows.targets(), b * length, count);
        at += count;
      }
      all.add(windows);
    }
    return all;
  }

  /** From a place on; past the end of the text it goes on at its beginning. */
  private void copy(int start, Windows windows, int row, int length) {
    for (int i = 0; i < length; i++) {
      windows.inputs()[row * length + i] = tokens[(start + i) % tokens.length];
      windows.targets()[row * length + i] = tokens[(start + i + 1) % tokens.length];
    }
  }
}
