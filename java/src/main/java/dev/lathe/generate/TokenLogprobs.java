package dev.lathe.generate;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;

/**
 * How likely a generated token was, and which were the likeliest: natural logarithms of the model's
 * own probabilities, before temperature and everything else that sampling does.
 *
 * @param logprob of the token that was taken
 * @param top the likeliest tokens, the likeliest first; of equals the lower token
 */
public record TokenLogprobs(double logprob, List<Entry> top) {
  public TokenLogprobs {
    top = List.copyOf(top);
  }

  /** One token. */
  public record Entry(int token, double logprob) {}

  /**
   * From logits.
   *
   * @param logits of the whole vocabulary
   * @param count how many of the likeliest
   */
  static TokenLogprobs of(float[] logits, int token, int count) {
    double highest = Double.NEGATIVE_INFINITY;
    for (float logit : logits) {
      highest = Math.max(highest, logit);
    }
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit - highest);
    }
    double normalizer = highest + Math.log(sum);

    Comparator<Entry> likelier =
        Comparator.comparingDouble(Entry::logprob)
            .thenComparing(Comparator.comparingInt(Entry::token).reversed());
    PriorityQueue<Entry> best = new PriorityQueue<>(likelier);
    for (int i = 0; i < logits.length && count > 0; i++) {
      best.add(new Entry(i, logits[i] - normalizer));
      if (best.size() > count) {
        best.remove();
      }
    }
    List<Entry> top = new ArrayList<>(best);
    top.sort(likelier.reversed());
    return new TokenLogprobs(logits[token] - normalizer, top);
  }
}
