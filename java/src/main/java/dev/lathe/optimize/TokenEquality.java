package dev.lathe.optimize;

import dev.lathe.report.OptimizeResults.Check;
import java.util.Arrays;
import java.util.List;

/** Whether two ways to generate gave the same tokens, and where they part if not. */
final class TokenEquality {
  private TokenEquality() {}

  static Check check(String name, List<int[]> expected, List<int[]> found) {
    if (expected.size() != found.size()) {
      return new Check(name, false, "%d sequences and %d".formatted(expected.size(), found.size()));
    }
    long tokens = 0;
    for (int s = 0; s < expected.size(); s++) {
      int at = Arrays.mismatch(expected.get(s), found.get(s));
      if (at >= 0) {
        return new Check(
            name,
            false,
            "sequence %d parts at token %d: %s and %s"
                .formatted(s + 1, at + 1, token(expected.get(s), at), token(found.get(s), at)));
      }
      tokens += expected.get(s).length;
    }
    return new Check(name, true, "all of %d tokens".formatted(tokens));
  }

  private static String token(int[] tokens, int at) {
    return at < tokens.length ? Integer.toString(tokens[at]) : "the end";
  }
}
