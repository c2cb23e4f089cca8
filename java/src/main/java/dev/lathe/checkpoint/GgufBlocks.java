package dev.lathe.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Quantized blocks of a GGUF file as the F32 numbers that the format defines, bit by bit: products
 * of the F16 scale with small integers are exact in F32, and the one subtraction of the types with
 * a minimum is rounded once.
 *
 * <pre>
 * Q4_0  d F16, 16 bytes; weight i is the low nibble of byte i, weight 16 + i the high one
 *       w = d (q - 8)
 * Q8_0  d F16, 32 signed bytes                  w = d q
 * Q4_K  d F16, dmin F16, 12 bytes with eight 6-bit scales and eight 6-bit minima, 128 bytes of
 *       nibbles; of each 64 weights the first 32 are the low nibbles of 32 bytes, the others the high
 *       w = d scale q - dmin minimum, a scale and a minimum for each 32 weights
 * Q5_K  as Q4_K with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to weight i
 *       of the g-th 32
 * Q6_K  128 bytes of low nibbles, 64 bytes of upper bits (two a weight), 16 signed scales, d F16;
 *       of each 128 weights, four times 32: low, low of the next 32 bytes, high, high of the next
 *       w = d scale (q - 32), a scale for each 16 weights
 * </pre>
 */
final class GgufBlocks {
  private static final ValueLayout.OfShort F16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private GgufBlocks() {}

  /**
   * One block.
   *
   * @param at where the block begins
   * @param out {@code type.blockElements()} numbers go here, from {@code to} on
   */
  static void dequantize(GgmlType type, MemorySegment in, long at, float[] out, int to) {
    switch (type) {
      case Q4_0 -> q4(in, at, out, to);
      case Q8_0 -> q8(in, at, out, to);
      case Q4_K -> q4k(in, at, out, to);
      case Q5_K -> q5k(in, at, out, to);
      case Q6_K -> q6k(in, at, out, to);
      case F32, F16, BF16 -> throw new IllegalArgumentException(type + " is not quantized");
    }
  }

  /** The F16 number at an offset. */
  static float half(MemorySegment in, long at) {
    return Float.float16ToFloat(in.get(F16, at));
  }

  private static int u8(MemorySegment in, long at) {
    return in.get(ValueLayout.JAVA_BYTE, at) & 0xff;
  }

  private static void q4(MemorySegment in, long at, float[] out, int to) {
    float d = half(in, at);
    for (int i = 0; i < 16; i++) {
      int pair = u8(in, at + 2 + i);
      out[to + i] = ((pair & 15) - 8) * d;
      out[to + 16 + i] = ((pair >> 4) - 8) * d;
    }
  }

  private static void q8(MemorySegment in, long at, float[] out, int to) {
    float d = half(in, at);
    for (int i = 0; i < 32; i++) {
      out[to + i] = in.get(ValueLayout.JAVA_BYTE, at + 2 + i) * d;
    }
  }

  private static void q4k(MemorySegment in, long at, float[] out, int to) {
    float d = half(in, at);
    float least = half(in, at + 2);
    for (int group = 0; group < 8; group++) {
      float scale = d * scale(in, at + 4, group);
      float minimum = least * minimum(in, at + 4, group);
      long nibbles = at + 16 + 32L * (group / 2);
      int shift = group % 2 * 4;
      for (int i = 0; i < 32; i++) {
        int q = (u8(in, nibbles + i) >> shift) & 15;
        out[to + 32 * group + i] = scale * q - minimum;
      }
    }
  }

  private static void q5k(MemorySegment in, long at, float[] out, int to) {
    float d = half(in, at);
    float least = half(in, at + 2);
    for (int group = 0; group < 8; group++) {
      float scale = d * scale(in, at + 4, group);
      float minimum = least * minimum(in, at + 4, group);
      long nibbles = at + 48 + 32L * (group / 2);
      int shift = group % 2 * 4;
      for (int i = 0; i < 32; i++) {
        int fifth = (u8(in, at + 16 + i) >> group) & 1;
        int q = ((u8(in, nibbles + i) >> shift) & 15) + 16 * fifth;
        out[to + 32 * group + i] = scale * q - minimum;
      }
    }
  }

  /** Scale 0 to 3: six bits of a byte; 4 to 7: a low nibble and the two upper bits of another. */
  private static int scale(MemorySegment in, long packed, int group) {
    return group < 4
        ? u8(in, packed + group) & 63
        : (u8(in, packed + group + 4) & 15) | ((u8(in, packed + group - 4) >> 6) << 4);
  }

  private static int minimum(MemorySegment in, long packed, int group) {
    return group < 4
        ? u8(in, packed + group + 4) & 63
        : (u8(in, packed + group + 4) >> 4) | ((u8(in, packed + group) >> 6) << 4);
  }

  private static void q6k(MemorySegment in, long at, float[] out, int to) {
    float d = half(in, at + 208);
    for (int half = 0; half < 2; half++) {
      for (int quarter = 0; quarter < 4; quarter++) {
        long low = at + 64L * half + 32L * (quarter % 2);
        for (int i = 0; i < 32; i++) {
          int upper = (u8(in, at + 128 + 32L * half + i) >> (2 * quarter)) & 3;
          int q = (((u8(in, low + i) >> (4 * (quarter / 2))) & 15) | (upper << 4)) - 32;
          int place = 128 * half + 32 * quarter + i;
          float scale = d * in.get(ValueLayout.JAVA_BYTE, at + 192 + place / 16);
          out[to + place] = scale * q;
        }
      }
    }
  }
}
