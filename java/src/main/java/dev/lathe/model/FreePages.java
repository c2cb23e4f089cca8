package dev.lathe.model;

import java.util.BitSet;

/**
 * Which pages of a cache are free, and which are set aside: a sequence whose length is known gets
 * neighbours, so that what is read one after another lies so, and what one core writes doesn't lie
 * among what another one reads. Pages that are set aside are still anybody's where no others are
 * left.
 */
final class FreePages {
  private static final int NONE = -1;

  private final int pages;
  private final BitSet free;
  private final BitSet claimed = new BitSet();
  private int count;

  FreePages(int pages) {
    this.pages = pages;
    this.free = new BitSet(pages);
    free.set(0, pages);
    this.count = pages;
  }

  int count() {
    return count;
  }

  /** The first of so many pages side by side that are set aside now; negative if there are none. */
  int claim(int wanted) {
    if (wanted > count) {
      return NONE;
    }
    int first = nextUnclaimed(0);
    while (first + wanted <= pages && first != NONE) {
      int end = first;
      while (end < first + wanted && free.get(end) && !claimed.get(end)) {
        end++;
      }
      if (end == first + wanted) {
        claimed.set(first, end);
        return first;
      }
      first = nextUnclaimed(end);
    }
    return NONE;
  }

  void unclaim(int first, int wanted) {
    if (first != NONE) {
      claimed.clear(first, first + wanted);
    }
  }

  /** Takes that page, or where it isn't free the lowest that is, claimed ones last. */
  int take(int wanted) {
    int page = wanted >= 0 && free.get(wanted) ? wanted : nextUnclaimed(0);
    if (page == NONE) {
      page = free.nextSetBit(0);
    }
    free.clear(page);
    count--;
    return page;
  }

  void giveBack(int page) {
    free.set(page);
    count++;
  }

  private int nextUnclaimed(int from) {
    int page = free.nextSetBit(from);
    while (page >= 0 && claimed.get(page)) {
      page = free.nextSetBit(claimed.nextClearBit(page));
    }
    return page;
  }
}
