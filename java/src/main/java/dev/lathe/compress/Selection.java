package dev.lathe.compress;

/**
 * Finds which of many numbers are the largest without holding or sorting them: a radix selection
 * over the bits of their magnitudes, 16 at a time from the top. The bits of a positive double order
 * as the double does, so the result is exact. Reads the numbers at most four times.
 */
final class Selection {
  private static final int DIGIT_BITS = 16;
  private static final int TOP_SHIFT = Long.SIZE - DIGIT_BITS;

  /** Numbers that can be read several times, in the same order each time. */
  interface Source {
    void forEach(Magnitudes to);
  }

  /** Hears magnitudes. */
  interface Magnitudes {
    /** {@code weights[0 … count)}; their signs do not matter. */
    void accept(double[] weights, int count);
  }

  /**
   * Keep what is larger than the threshold, and of those that equal it the first {@code equal}.
   *
   * @param thresholdBits of the magnitude, as a long
   * @param kept how many that are in all
   */
  record Cut(long thresholdBits, long equal, long kept) {
    boolean isAbove(double weight) {
      return bits(weight) > thresholdBits;
    }

    boolean isEqual(double weight) {
      return bits(weight) == thresholdBits;
    }
  }

  private Selection() {}

  /** The bits of |x|: they order as the magnitudes do. */
  static long bits(double x) {
    return Double.doubleToRawLongBits(Math.abs(x));
  }

  /**
   * The {@code count} numbers of largest magnitude, the earlier of equals. Zeros are never among
   * them: to keep a zero is to keep nothing.
   */
  static Cut largest(long count, Source source) {
    long prefix = 0;
    long wanted = count;
    for (int shift = TOP_SHIFT; ; shift -= DIGIT_BITS) {
      long[] histogram = histogram(source, prefix, shift);
      int digit = histogram.length - 1;
      while (digit >= 0 && histogram[digit] <= wanted) {
        wanted -= histogram[digit--];
      }
      if (digit < 0) {
        // There are not that many: all that are not zero stay. Only the first digit can say so.
        return new Cut(0, 0, count - wanted);
      }
      prefix |= (long) digit << shift;
      if (wanted == 0) {
        // What stays ends where this digit begins: nothing below needs to be told apart.
        long end = prefix | ((1L << shift) - 1);
        return new Cut(end, 0, count);
      }
      if (shift == 0) {
        return new Cut(prefix, wanted, count);
      }
    }
  }

  /** How many numbers there are of each next digit, among those whose higher digits are given. */
  private static long[] histogram(Source source, long prefix, int shift) {
    long[] counts = new long[1 << DIGIT_BITS];
    source.forEach((weights, count) -> {
      for (int i = 0; i < count; i++) {
        long bits = bits(weights[i]);
        boolean samePrefix =
            shift == TOP_SHIFT
                || (bits >>> (shift + DIGIT_BITS)) == prefix >>> (shift + DIGIT_BITS);
        if (bits != 0 && samePrefix) {
          counts[(int) (bits >>> shift) & (counts.length - 1)]++;
        }
      }
    });
    return counts;
  }
}
