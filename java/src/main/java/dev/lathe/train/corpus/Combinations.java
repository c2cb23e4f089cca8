package dev.lathe.train.corpus;

import java.util.Arrays;
import java.util.HashSet;
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
    Combination drawn = draw(kind, firstLimit, secondLimit, thirdLimit);
    used.add(drawn);
    return drawn;
  }

  /**
   * Two facts of one thing, each with its way of being told.
   *
   * @return first: which thing; second and third: {@code fact * ways + way}, of different facts
   */
  Combination nextPair(Kind kind, int things, int facts, int ways) {
    while (true) {
      Combination drawn = draw(kind, things, facts * ways, facts * ways);
      if (drawn.second() / ways != drawn.third() / ways) {
        used.add(drawn);
        return drawn;
      }
    }
  }

  private Combination draw(Kind kind, int firstLimit, int secondLimit, int thirdLimit) {
    while (true) {
      Combination drawn =
          new Combination(
              kind, draw.below(firstLimit), draw.below(secondLimit), draw.below(thirdLimit));
      if (drawn.split() == split) {
        return drawn;
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
