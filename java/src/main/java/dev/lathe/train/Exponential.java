package dev.lathe.train;

/**
 * {@code e^x} for whole rows, so plain that the JIT compiles its loops to vector instructions,
 * which it cannot with {@link Math#exp}.
 *
 * <p>In double: {@code e^x = (e^(x / 256))^256}, eight squarings of a Taylor polynomial of degree
 * 8. Its error grows with {@code |x|} and is largest at the ends: {@code (88 / 256)^9 / 9! x 256 =
 * 4.8e-8} of the result, below the unit roundoff of F32, 6.0e-8. Beyond ±88 F32 ends, and the
 * arguments are clamped.
 */
final class Exponential {
  private static final double LIMIT = 88;

  private Exponential() {}

  /** One value, computed as in the loops. */
  static float of(float x) {
    double y = Math.max(-LIMIT, Math.min(LIMIT, x)) * (1.0 / 256);
    double e = 1.0 / 40320;
    e = Math.fma(e, y, 1.0 / 5040);
    e = Math.fma(e, y, 1.0 / 720);
    e = Math.fma(e, y, 1.0 / 120);
    e = Math.fma(e, y, 1.0 / 24);
    e = Math.fma(e, y, 1.0 / 6);
    e = Math.fma(e, y, 0.5);
    e = Math.fma(e, y, 1);
    e = Math.fma(e, y, 1);
    e *= e;
    e *= e;
    e *= e;
    e *= e;
    e *= e;
    e *= e;
    e *= e;
    e *= e;
    return (float) e;
  }

  /** {@code values[i] = e^(values[i] - shift)} for i from {@code from} on, below {@code to}. */
  static void shifted(float[] values, int from, int to, float shift) {
    for (int i = from; i < to; i++) {
      values[i] = of(values[i] - shift);
    }
  }

  /** {@code out[to + i] = e^-x[from + i]} for count values. */
  static void ofNegated(float[] x, int from, float[] out, int to, int count) {
    for (int i = 0; i < count; i++) {
      out[to + i] = of(-x[from + i]);
    }
  }
}
