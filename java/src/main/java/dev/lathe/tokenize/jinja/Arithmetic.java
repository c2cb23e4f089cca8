package dev.lathe.tokenize.jinja;

import java.util.ArrayList;
import java.util.List;

/** Python's operators; integers are exact up to 64 bits and an error beyond. */
final class Arithmetic {
  private Arithmetic() {}

  static Object apply(String operator, Object left, Object right, Meter meter) {
    if (left instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (right instanceof Undefined undefined) {
      throw undefined.error();
    }
    if (Values.isNumber(left) && Values.isNumber(right)) {
      return numbers(operator, Values.number(left), Values.number(right));
    }
    if (operator.equals("+")) {
      if (left instanceof String a && right instanceof String b) {
        meter.characters((long) a.length() + b.length());
        return a + b;
      }
      if (left instanceof Tuple(List<Object> a) && right instanceof Tuple(List<Object> b)) {
        return new Tuple(joined(a, b, meter));
      }
      if (left instanceof List<?> a && right instanceof List<?> b) {
        return joined(a, b, meter);
      }
    }
    if (operator.equals("*") && right instanceof Long times) {
      return repeated(left, times, meter);
    }
    if (operator.equals("*") && left instanceof Long times) {
      return repeated(right, times, meter);
    }
    if (operator.equals("%") && left instanceof String) {
      throw new TemplateException("formats with %, which is not rendered here");
    }
    throw new TemplateException(
        "%s %s %s is no operation".formatted(Values.type(left), operator, Values.type(right)));
  }

  private static List<Object> joined(List<?> a, List<?> b, Meter meter) {
    meter.steps((long) a.size() + b.size());
    List<Object> joined = new ArrayList<>(a);
    joined.addAll(b);
    return joined;
  }

  private static Object repeated(Object value, long times, Meter meter) {
    int count = Math.clamp(times, 0, Integer.MAX_VALUE);
    if (value instanceof String text) {
      meter.characters((long) text.length() * count);
      return text.repeat(count);
    }
    if (value instanceof List<?> items) {
      meter.steps((long) items.size() * count);
      List<Object> repeated = new ArrayList<>();
      for (int i = 0; i < count && !items.isEmpty(); i++) {
        repeated.addAll(items);
      }
      return repeated;
    }
    throw new TemplateException(Values.type(value) + " cannot be repeated");
  }

  private static Object numbers(String operator, Number left, Number right) {
    if (left instanceof Long a && right instanceof Long b && !operator.equals("/")) {
      try {
        return integers(operator, a, b);
      } catch (ArithmeticException e) {
        throw overflow(operator, b);
      }
    }
    double a = left.doubleValue();
    double b = right.doubleValue();
    return switch (operator) {
      case "+" -> a + b;
      case "-" -> a - b;
      case "*" -> a * b;
      case "/" -> a / nonZero(b);
      case "//" -> floorDivide(a, nonZero(b));
      case "%" -> modulo(a, nonZero(b));
      case "**" -> power(a, b);
      default -> throw new IllegalArgumentException(operator);
    };
  }

  private static TemplateException overflow(String operator, long right) {
    return new TemplateException(
        right == 0 && !operator.equals("**")
            ? "divides by zero"
            : "an integer passes 64 bits, which is not rendered here");
  }

  private static Object integers(String operator, long a, long b) {
    return switch (operator) {
      case "+" -> Math.addExact(a, b);
      case "-" -> Math.subtractExact(a, b);
      case "*" -> Math.multiplyExact(a, b);
      case "//" -> a == Long.MIN_VALUE && b == -1 ? Math.negateExact(a) : Math.floorDiv(a, b);
      case "%" -> Math.floorMod(a, b);
      case "**" -> power(a, b);
      default -> throw new IllegalArgumentException(operator);
    };
  }

  private static Object power(long base, long exponent) {
    if (exponent < 0) {
      return power((double) base, (double) exponent);
    }
    long result = 1;
    for (long i = 0; i < exponent && (Math.abs(base) > 1 || i < 2); i++) {
      result = Math.multiplyExact(result, base);
    }
    return base == -1 && exponent >= 2 ? (exponent % 2 == 0 ? 1L : -1L) : (Object) result;
  }

  private static double power(double base, double exponent) {
    double result = Math.pow(base, exponent);
    if ((base == 0 && exponent < 0) || (base < 0 && Double.isNaN(result))) {
      throw new TemplateException("raises a number to a power that is no real number");
    }
    if (Double.isInfinite(result) && Double.isFinite(base) && Double.isFinite(exponent)) {
      throw new TemplateException("a power is too large");
    }
    return result;
  }

  private static double nonZero(double divisor) {
    if (divisor == 0) {
      throw new TemplateException("divides by zero");
    }
    return divisor;
  }

  /** CPython's {@code float_divmod}. */
  private static double floorDivide(double a, double b) {
    double remainder = a % b;
    double quotient = (a - remainder) / b;
    if (remainder != 0 && (b < 0) != (remainder < 0)) {
      quotient -= 1;
    }
    if (quotient == 0) {
      return Math.copySign(0.0, a / b);
    }
    double floor = Math.floor(quotient);
    return quotient - floor > 0.5 ? floor + 1 : floor;
  }

  private static double modulo(double a, double b) {
    double remainder = a % b;
    if (remainder == 0) {
      return Math.copySign(0.0, b);
    }
    return (b < 0) != (remainder < 0) ? remainder + b : remainder;
  }

  static Object negative(Object value) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    return switch (Values.number(value)) {
      case Long number -> numbers("-", 0L, number);
      case Number number -> -number.doubleValue();
    };
  }

  static Object positive(Object value) {
    if (value instanceof Undefined undefined) {
      throw undefined.error();
    }
    return Values.number(value);
  }
}
