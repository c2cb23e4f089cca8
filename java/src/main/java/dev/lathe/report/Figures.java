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
    return value.isPresent() ? format.apply(value.getAsLong()) : NOT_MEASURED;
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
    // Leading digits beyond the asked-for precision stay: 12,345 is not written as 12,300.
    int decimals = Math.max(0, rounded.scale());
    return rounded.scale() <= 0
        ? String.format(Locale.ROOT, "%,.0f", value)
        : String.format(Locale.ROOT, "%,." + decimals + "f", rounded);
  }

  static String number(double value) {
    return number(value, 3);
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
