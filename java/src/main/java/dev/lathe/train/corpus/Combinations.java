package dev.lathe.train.corpus;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Draws what a passage is about: who does what to which thing, which two facts of a place are told
 * in which ways. One combination in {@value #ONE_IN} belongs to the held-out text, the rest to the
 * training text; a hash of the combination alone says to which, so that none is ever in both. Each
 * word and each fact of a held-out combination occurs in the training text, in other company.
 *
 * <p>Every kind has many times more combinations than a text has passages. Of few, each told often,
 * a model would learn which ones never come, and would be punished for it on the held-out text.
 */
final class Combinations {
  static final int ONE_IN = 12;

  /** The kinds of combination; the same three numbers mean another thing in another kind. */
  enum Kind {
    DEED,
    PLACE_FACTS,
    THING_FACTS,
    PERSON_FACTS,
    ARITHMETIC,
    LIST,
    INSTRUCTION,
    JOURNEY
  }

  record Combination(Kind kind, int first, int second, int third) {
    Split split() {
      long mixed = Draw.mix(kind.name().hashCode());
      mixed = Draw.mix(mixed * 31 + first);
      mixed = Draw.mix(mixed * 31 + second);
      mixed = Draw.mix(mixed * 31 + third);
      return Long.remainderUnsigned(mixed, ONE_IN) == 0 ? Split.HELD_OUT : Split.TRAINING;
    }
  }

  private final Split split;
  private final Draw draw;
  private final Set<Combination> used = new HashSet<>();

  Combinations(Split split, Draw draw) {
    this.split = split;
    this.draw = draw;
  }

  /** A combination of this split, each number below its limit. */
  Combination next(Kind kind, int firstLimit, int secondLimit, int thirdLimit) {
    while (true) {
      Combination drawn =
          new Combination(
              kind, draw.below(firstLimit), draw.below(secondLimit), draw.below(thirdLimit));
      if (drawn.split() == split) {
        used.add(drawn);
        return drawn;
      }
    }
  }

  /**
   * Facts of one thing in the order in which they are kept, from some fact on, each with its way of
   * being told. A combination is a fact, its way, and the way of the fact that follows.
   *
   * @param count at most {@code facts}
   * @return which thing, and then for each {@code fact * ways + way}
   */
  int[] nextRun(Kind kind, int things, int facts, int ways, int count) {
    while (true) {
      int[] run = new int[count + 1];
      run[0] = draw.below(things);
      run[1] = draw.below(facts * ways);
      List<Combination> told = new ArrayList<>();
      for (int i = 2; i <= count; i++) {
        int way = draw.below(ways);
        Combination pair = new Combination(kind, run[0], run[i - 1], way);
        if (pair.split() == split) {
          told.add(pair);
        }
        run[i] = (run[i - 1] / ways + 1) % facts * ways + way;
      }
      if (told.size() == count - 1) {
        used.addAll(told);
        return run;
      }
    }
  }

  /** Three different numbers of this split in ascending order: a set is the same in any order. */
  Combination nextSet(Kind kind, int limit) {
    while (true) {
      int[] drawn = {draw.below(limit), draw.below(limit), draw.below(limit)};
      Arrays.sort(drawn);
      Combination set = new Combination(kind, drawn[0], drawn[1], drawn[2]);
      if (drawn[0] < drawn[1] && drawn[1] < drawn[2] && set.split() == split) {
        used.add(set);
        return set;
      }
    }
  }

  /** All that were drawn so far. */
  Set<Combination> used() {
    return used;
  }
}
