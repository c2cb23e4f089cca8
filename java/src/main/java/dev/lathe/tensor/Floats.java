package dev.lathe.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Conversions between float and the narrow floating types, and typed access to tensors. */
public final class Floats {
  private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED;
  private static final ValueLayout.OfShort U16 = ValueLayout.JAVA_SHORT_UNALIGNED;
  private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED;
  private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG_UNALIGNED;

  private Floats() {}

  /** BF16 bits as a float: exact. */
  public static float fromBf16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** The nearest BF16, ties to even; NaN stays NaN. */
  public static short toBf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40);
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }

  /** The smallest BF16 that is not below a positive finite value. */
  public static short toBf16Up(float value) {
    int bits = Float.floatToRawIntBits(value);
    return (short) ((bits + 0xffff) >>> 16);
  }

  /** E4M3 (finite, 448 the largest, 0x7f and 0xff NaN) as a float: exact. */
  public static float fromF8E4m3(byte bits) {
    int exponent = (bits >> 3) & 0xf;
    int mantissa = bits & 0x7;
    float magnitude;
    if (exponent == 0xf && mantissa == 0x7) {
      magnitude = Float.NaN;
    } else if (exponent == 0) {
      magnitude = mantissa * 0x1p-9f;
    } else {
      magnitude = (8 + mantissa) * (float) Math.scalb(1.0, exponent - 10);
    }
    return bits < 0 ? -magnitude : magnitude;
  }

  /** Element {@code index} (counted in memory, without regard to row stride) as a float. */
  public static float get(MemorySegment memory, DType dtype, long index) {
    return switch (dtype) {
      case F32 -> memory.get(F32, index * 4);
      case F16 -> Float.float16ToFloat(memory.get(U16, index * 2));
      case BF16 -> fromBf16(memory.get(U16, index * 2));
      case F8_E4M3 -> fromF8E4m3(memory.get(ValueLayout.JAVA_BYTE, index));
      case I8 -> memory.get(ValueLayout.JAVA_BYTE, index);
      case U8 -> memory.get(ValueLayout.JAVA_BYTE, index) & 0xff;
      case I32 -> memory.get(I32, index * 4);
      case I64 -> memory.get(I64, index * 8);
    };
  }

  /** Writes a float as F32, F16 or BF16, rounded to nearest even. */
  public static void set(MemorySegment memory, DType dtype, long index, float value) {
    switch (dtype) {
      case F32 -> memory.set(F32, index * 4, value);
      case F16 -> memory.set(U16, index * 2, Float.floatToFloat16(value));
      case BF16 -> memory.set(U16, index * 2, toBf16(value));
      default -> throw new IllegalArgumentException("cannot write a float as " + dtype);
    }
  }

  /** One row of a matrix (or of the innermost dimension) as floats. */
  public static void readRow(Tensor matrix, long row, float[] out) {
    int columns = Math.toIntExact(matrix.size(matrix.rank() - 1));
    long start = row * matrix.rowStride();
    MemorySegment memory = matrix.memory();
    if (matrix.dtype() == DType.F32) {
      MemorySegment.copy(memory, F32, start * 4, out, 0, columns);
      return;
    }
    for (int c = 0; c < columns; c++) {
      out[c] = get(memory, matrix.dtype(), start + c);
    }
  }
}
