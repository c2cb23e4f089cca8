package dev.lathe.generate;

import java.util.List;

/**
 * Cuts a stream of text where a stop text begins. Text that could still become a stop text is held
 * back until it is certain.
 */
final class StopMatcher {
  private final List<String> stops;
  private final StringBuilder held = new StringBuilder();
  private boolean stopped;

  StopMatcher(List<String> stops) {
    this.stops = stops;
  }

  /** Takes more text; returns what is certain to be part of the result. */
  String accept(String text) {
    if (stopped) {
      return "";
    }
    if (stops.isEmpty()) {
      return text;
    }
    held.append(text);
    int first = -1;
    for (String stop : stops) {
      int at = held.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) {
        first = at;
      }
    }
    if (first >= 0) {
      stopped = true;
      return release(first);
    }
    return release(held.length() - longestBeginning());
  }

  /** True once a stop text has appeared. */
  boolean isStopped() {
    return stopped;
  }

  /** What is still held back when the stream ends without a stop text. */
  String finish() {
    return stopped ? "" : release(held.length());
  }

  private String release(int length) {
    String certain = held.substring(0, length);
    held.delete(0, length);
    return certain;
  }

  /** Length of the longest end of the held text that is the beginning of a stop text. */
  private int longestBeginning() {
    int longest = 0;
    for (String stop : stops) {
      for (int n = Math.min(stop.length() - 1, held.length()); n > longest; n--) {
        if (stop.startsWith(held.substring(held.length() - n))) {
          longest = n;
        }
      }
    }
    return longest;
  }
}
