package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * The merges of a vocabulary of pieces with scores: every way to put a piece together from two, the
 * pieces with the highest score first. Of one piece the ways follow the ids of their parts, as in
 * the conversion of Hugging Face's own library.
 */
final class PieceMerges {
  /** A merge of two tokens. */
  interface Pair {
    void accept(int left, int right);
  }

  /** Longer than any piece that was trained; keeps the search for its parts short. */
  private static final int MOST_CHARACTERS = 512;

  /** Trained vocabularies have 2 to 4 ways a piece; keeps a hostile one from filling the heap. */
  private static final int MOST_WAYS_PER_TOKEN = 16;

  private record Merge(int left, int right, float score) {}

  private final List<Merge> merges = new ArrayList<>();

  /**
   * @throws InvalidInputException if the pieces are none that can have been trained
   */
  PieceMerges(
      List<String> tokens, int[] types, float[] scores, Map<String, Integer> idOf, String where) {
    for (int id = 0; id < types.length; id++) {
      if (!isPiece(types[id])) {
        continue;
      }
      String token = tokens.get(id);
      if (Float.isNaN(scores[id])) {
        throw new InvalidInputException(
            "%s: %sscores[%d] is no number".formatted(where, GgufTokenizer.PREFIX, id));
      }
      // A piece with a plain space cannot arise: spaces have become another character by then.
      if (token.length() > MOST_CHARACTERS || token.indexOf(' ') >= 0) {
        continue;
      }
      int first = merges.size();
      for (int at = next(token, 0); at < token.length(); at = next(token, at)) {
        Integer left = idOf.get(token.substring(0, at));
        Integer right = left == null ? null : idOf.get(token.substring(at));
        if (right != null && isPiece(types[left]) && isPiece(types[right])) {
          merges.add(new Merge(left, right, scores[id]));
        }
      }
      merges
          .subList(first, merges.size())
          .sort(Comparator.comparingInt(Merge::left).thenComparingInt(Merge::right));
      if (merges.size() > (long) MOST_WAYS_PER_TOKEN * types.length + MOST_CHARACTERS) {
        throw new InvalidInputException(
            "%s: %stokens has pieces that can be put together in too many ways, more than %d a token; trained vocabularies have 2 to 4"
                .formatted(where, GgufTokenizer.PREFIX, MOST_WAYS_PER_TOKEN));
      }
    }
    merges.sort(Comparator.comparingDouble(merge -> -(double) merge.score()));
  }

  private static boolean isPiece(int type) {
    return type == GgufTokenizer.NORMAL;
  }

  private static int next(String text, int at) {
    return text.isEmpty() ? 0 : text.offsetByCodePoints(at, 1);
  }

  void forEach(Pair pair) {
    merges.forEach(merge -> pair.accept(merge.left(), merge.right()));
  }
}
