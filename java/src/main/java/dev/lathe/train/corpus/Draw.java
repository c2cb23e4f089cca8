package dev.lathe.train.corpus;

import java.util.List;

/**
 * Random choices that are the same on every machine and in every release of Java: SplitMix64.
 *
 * @see <a href="https://doi.org/10.1145/2660193.2660195">Steele, Lea and Flood 2014, figure 17</a>
 */
public final class Draw {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

  private long state;

  public Draw(long seed) {
    state = seed;
  }

  /** SplitMix64's finalizer: every bit of the input moves every bit of the result. */
  public static long mix(long value) {
    long z = (value ^ (value >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  public long nextLong() {
    state += GOLDEN_GAMMA;
    return mix(state);
  }

  /** A number from 0 to {@code bound - 1}; the bias of the remainder is below 2^-32. */
  public int below(int bound) {
    if (bound <= 0) {
      throw new IllegalArgumentException("nothing to draw from: " + bound);
    }
    return (int) ((nextLong() >>> 1) % bound);
  }

  /** A number from {@code from} to {@code to}, both included. */
  public int between(int from, int to) {
    return from + below(to - from + 1);
  }

  public <T> T of(List<T> choices) {
    return choices.get(below(choices.size()));
  }

  /** A number from the standard normal distribution (Box and Muller 1958). */
  public double gaussian() {
    double radius = Math.sqrt(-2 * Math.log(((nextLong() >>> 11) + 1) * 0x1p-53));
    return radius * Math.cos(2 * Math.PI * (nextLong() >>> 11) * 0x1p-53);
  }

  /** Where the sequence stands; {@code new Draw(state)} goes on from there. */
  public long state() {
    return state;
  }
}
