package dev.lathe.checkpoint;

import java.util.Collection;
import java.util.Comparator;
import java.util.Optional;

/** The name that somebody who got one wrong most likely meant. */
final class NearestName {
  private NearestName() {}

  /** The name at the smallest edit distance; the first of several; none where there are none. */
  static Optional<String> of(String wanted, Collection<String> names) {
    return names.stream().min(Comparator.comparingInt(name -> distance(wanted, name)));
  }

  /** Levenshtein's distance: insertions, deletions and replacements of a character. */
  static int distance(String a, String b) {
    int[] previous = new int[b.length() + 1];
    int[] current = new int[b.length() + 1];
    for (int j = 0; j <= b.length(); j++) {
      previous[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      current[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int replaced = previous[j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        current[j] = Math.min(replaced, Math.min(previous[j], current[j - 1]) + 1);
      }
      int[] swap = previous;
      previous = current;
      current = swap;
    }
    return previous[b.length()];
  }
}
