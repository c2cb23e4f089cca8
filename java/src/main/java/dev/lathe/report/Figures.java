package dev.lathe.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.DoubleFunction;

/**
 * How figures are written: three or four significant digits, a unit, a sign where it is a change.
 * What was not measured says so.
 */
final class Figures {
  static final String NOT_MEASURED = "not measured";

  private Figures() {}

  static String orNotMeasured(OptionalDouble value, DoubleFunction<String> format) {
    return value.isPresent() ? format.apply(value.getAsDouble()) : NOT_MEASURED;
  }

  static String orNotMeasured(OptionalLong value, DoubleFunction<String> format) {
    return value.isPresent() ? format.apply((double) value.getAsLong()) : NOT_MEASURED;
  }

  /** {@code 1,234,567}. */
  static String count(long value) {
    return String.format(Locale.ROOT, "%,d", value);
  }

  /** Significant digits, grouped thousands, never an exponent: {@code 0.0123}, {@code 12,300}. */
  static String number(double value, int digits) {
    if (!Double.isFinite(value)) {
      return Double.isNaN(value) ? "not a number" : value > 0 ? "infinite" : "minus infinite";
    }
    if (value == 0) {
      return "0";
    }
    BigDecimal rounded =
        new BigDecimal(value).round(new MathContext(digits, RoundingMode.HALF_EVEN));
    // The first digit is that many places before the point; digits before it are never rounded off.
    int places = rounded.precision() - rounded.scale();
    int decimals = Math.max(0, digits - places);
    return String.format(Locale.ROOT, "%,." + decimals + "f", decimals == 0 ? value : rounded);
  }

  static String number(double value) {
    return number(value, 3);
  }

  static String bytes(long bytes) {
    return bytes((double) bytes);
  }

  /** Decimal units, as disks and vendors count: {@code 266 kB}. */
  static String bytes(double bytes) {
    String[] units = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    double scaled = bytes;
    while (Math.abs(scaled) >= 999.5 && unit < units.length - 1) {
      scaled /= 1000;
      unit++;
    }
    return (unit == 0 ? count((long) scaled) : number(scaled)) + " " + units[unit];
  }

  /** {@code 266 kB (265,984 bytes)}: what people compare, and what can be checked. */
  static String exactBytes(long bytes) {
    return bytes < 1000 ? count(bytes) + " bytes" : bytes(bytes) + " (" + count(bytes) + " bytes)";
  }

  /** {@code +0.083 %}; two digits below 10, none above 100. */
  static String change(double percent) {
    if (!Double.isFinite(percent)) {
      return number(percent) + " %";
    }
    if (percent == 0) {
      return "0 %";
    }
    double size = Math.abs(percent);
    int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
    String text = String.format(Locale.ROOT, "%,." + decimals + "f", size);
    boolean zero = text.chars().allMatch(c -> c == '0' || c == '.');
    return (zero ? "±" : percent < 0 ? "−" : "+") + text + " %";
  }

  static String percent(double percent) {
    return number(percent) + " %";
  }

  /** {@code 3.84×}. */
  static String ratio(double ratio) {
    return number(ratio) + "×";
  }

  /** {@code 3.84× smaller}, {@code 1.20× larger}, or {@code the same}. */
  static String ratio(double ratio, String better, String worse) {
    if (Math.abs(ratio - 1) < 0.005) {
      return "the same";
    }
    return ratio > 1 ? ratio(ratio) + " " + better : ratio(1 / ratio) + " " + worse;
  }

  static String millis(double millis) {
    return millis < 0.1 ? number(millis * 1000) + " µs" : number(millis) + " ms";
  }

  static String perSecond(double value) {
    return number(value) + " tokens/s";
  }

  /** Cents while they matter. */
  static String money(double amount, String currency) {
    if (!Double.isFinite(amount)) {
      return number(amount);
    }
    String text =
        Math.abs(amount) >= 1000
            ? String.format(Locale.ROOT, "%,.0f", amount)
            : Math.abs(amount) >= 1 ? String.format(Locale.ROOT, "%,.2f", amount) : number(amount);
    return text + " " + currency;
  }
}
