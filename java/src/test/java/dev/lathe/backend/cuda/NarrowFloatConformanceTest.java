package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.math.BigDecimal;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Conversions and arithmetic of half, bfloat16 and FP8, on whatever device there is, against exact
 * sums and products rounded once: all 65,536 patterns of the first operand.
 */
@Tag("cuda")
class NarrowFloatConformanceTest {
  private static final int COUNT = 1 << 16;

  /** How a 16-bit format widens and rounds. */
  private enum Format {
    HALF(0, 8),
    BFLOAT16(4, 9);

    /**
     * Which of the kernel's results are this format's: the first of four, and the rounding of
     * floats.
     */
    final int first;

    final int rounding;

    Format(int first, int rounding) {
      this.first = first;
      this.rounding = rounding;
    }

    float widen(int bits) {
      return this == HALF ? Float.float16ToFloat((short) bits) : Float.intBitsToFloat(bits << 16);
    }

    int round(float x) {
      if (Float.isNaN(x)) {
        return 0x7fff;
      }
      int raw = Float.floatToRawIntBits(x);
      return this == HALF
          ? Float.floatToFloat16(x) & 0xffff
          : (raw + 0x7fff + ((raw >>> 16) & 1)) >>> 16;
    }

    /** a b + c, rounded once. */
    int fused(float a, float b, float c) {
      float simple = Math.fma(a, b, c);
      if (Float.isNaN(simple)
          || Float.isInfinite(a)
          || Float.isInfinite(b)
          || Float.isInfinite(c)) {
        return round(simple);
      }
      BigDecimal exact = new BigDecimal(a).multiply(new BigDecimal(b)).add(new BigDecimal(c));
      return exact.signum() == 0 ? round(simple) : round(toOdd(exact));
    }

    /** To float, towards zero, with the last bit set where that lost something. */
    private static float toOdd(BigDecimal exact) {
      float rounded = exact.floatValue();
      if (Float.isInfinite(rounded)) {
        return rounded;
      }
      int compared = new BigDecimal(rounded).abs().compareTo(exact.abs());
      if (compared == 0) {
        return rounded;
      }
      int bits = Float.floatToRawIntBits(rounded);
      return Float.intBitsToFloat((compared > 0 ? bits - 1 : bits) | 1);
    }
  }

  @Test
  void everyPatternConvertsAddsAndMultiplies() {
    Random random = new Random(11);
    int[] x = new int[COUNT];
    int[] y = new int[COUNT];
    int[] z = new int[COUNT];
    for (int i = 0; i < COUNT; i++) {
      x[i] = i;
      // Of like magnitude as well as any: so that sums round, cancel and tie.
      y[i] = i % 3 == 0 ? i ^ random.nextInt(1 << 11) : random.nextInt(COUNT);
      z[i] = i % 5 == 0 ? i ^ 0x8000 ^ random.nextInt(4) : random.nextInt(COUNT);
    }
    int[] actual;
    try (CudaBench bench = new CudaBench()) {
      Tensor out = bench.device(DType.I32, 15L * COUNT);
      bench
          .kernels
          .get("test/conformance", "half_arithmetic")
          .pointer(out)
          .pointer(bench.up(shorts(bench, x)))
          .pointer(bench.up(shorts(bench, y)))
          .pointer(bench.up(shorts(bench, z)))
          .i32(COUNT)
          .launch(COUNT / 256, 1, 1, 256, 0);
      actual = bench.downIntegers(out);
    }
    for (int i = 0; i < COUNT; i++) {
      for (Format format : Format.values()) {
        int first = format.first;
        float a = format.widen(x[i]);
        float b = format.widen(y[i]);
        float c = format.widen(z[i]);
        same(Float.floatToIntBits(a), nan32(actual[first * COUNT + i]), "widened", i);
        same(format.fused(a, 1, b), narrow(format, actual[(first + 1) * COUNT + i]), "sum", i);
        same(
            format.fused(a, b, -0f), narrow(format, actual[(first + 2) * COUNT + i]), "product", i);
        same(format.fused(a, b, c), narrow(format, actual[(first + 3) * COUNT + i]), "fma", i);
        same(
            format.round(Float.intBitsToFloat((x[i] << 16) | y[i])),
            narrow(format, actual[format.rounding * COUNT + i]),
            "rounded",
            i);
      }
      float half = Format.HALF.widen(x[i]);
      same(fp8(half, 3, 7, 0x7e), actual[10 * COUNT + i], "e4m3", i);
      same(fp8(half, 2, 15, 0x7b), actual[11 * COUNT + i], "e5m2", i);
      int code = x[i] & 0xff;
      boolean isNan = (code & 0x7f) == 0x7f;
      same(
          isNan ? 0x7fff : Format.HALF.round((float) decode(code, 3, 7)),
          narrow(Format.HALF, actual[12 * COUNT + i]),
          "of e4m3",
          i);
      float wide = Float.intBitsToFloat((x[i] << 16) | y[i]);
      double nearest = Math.rint(wide);
      same(Float.isNaN(wide) ? 0 : (int) nearest, actual[13 * COUNT + i], "integer", i);
      int pair = actual[14 * COUNT + i];
      same(finite(wide), narrow(Format.BFLOAT16, pair & 0xffff), "finite", i);
      same(finite(-wide), narrow(Format.BFLOAT16, pair >>> 16), "finite, second", i);
    }
  }

  /** Rounded to bfloat16, the largest number instead of an infinity. */
  private static int finite(float x) {
    int rounded = Format.BFLOAT16.round(x);
    return (rounded & 0x7fff) == 0x7f80 ? rounded - 1 : rounded;
  }

  private static void same(int expected, int actual, String what, int pattern) {
    if (expected != actual) {
      assertThat(Integer.toHexString(actual))
          .as("%s of pattern 0x%04x", what, pattern)
          .isEqualTo(Integer.toHexString(expected));
    }
  }

  /** One NaN stands for all. */
  private static int narrow(Format format, int bits) {
    return Float.isNaN(format.widen(bits)) ? 0x7fff : bits;
  }

  private static int nan32(int bits) {
    return Float.floatToIntBits(Float.intBitsToFloat(bits));
  }

  private static double decode(int code, int fractionBits, int bias) {
    int exponent = (code & 0x7f) >> fractionBits;
    double fraction = (code & ((1 << fractionBits) - 1)) / (double) (1 << fractionBits);
    double magnitude =
        exponent == 0 ? Math.scalb(fraction, 1 - bias) : Math.scalb(1 + fraction, exponent - bias);
    return (code & 0x80) == 0 ? magnitude : -magnitude;
  }

  /** The nearest of all codes; of two as near the even one, past the largest the largest. */
  private static int fp8(float x, int fractionBits, int bias, int largest) {
    if (Float.isNaN(x)) {
      return 0x7f;
    }
    double magnitude = Math.abs((double) x);
    int low = 0;
    int high = largest;
    while (low < high) { // the last code that isn't above
      int middle = (low + high + 1) / 2;
      if (decode(middle, fractionBits, bias) <= magnitude) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    int best = low;
    if (low < largest) {
      double below = magnitude - decode(low, fractionBits, bias);
      double above = decode(low + 1, fractionBits, bias) - magnitude;
      best = below < above || (below == above && low % 2 == 0) ? low : low + 1;
    }
    return best | (Float.floatToRawIntBits(x) < 0 ? 0x80 : 0);
  }

  private static Tensor shorts(CudaBench bench, int[] values) {
    Tensor tensor = bench.host(DType.F16, values.length);
    for (int i = 0; i < values.length; i++) {
      tensor.memory().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) values[i]);
    }
    return tensor;
  }
}
