package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every block of random bits against a second implementation, which takes a weight's bits one by
 * one from the published layouts and computes in double before the one rounding that there is.
 */
class GgufBlocksTest {
  private static final int BLOCKS = 400;

  @ParameterizedTest
  @EnumSource(
      value = GgmlType.class,
      names = {"Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"})
  void blocksAreTheNumbersOfTheFormatBitByBit(GgmlType type) {
    Random random = new Random(7);
    float[] out = new float[type.blockElements()];
    for (int n = 0; n < BLOCKS; n++) {
      byte[] block = new byte[type.blockBytes()];
      random.nextBytes(block);
      finiteHalves(type, block, random);
      GgufBlocks.dequantize(type, MemorySegment.ofArray(block), 0, out, 0);
      for (int i = 0; i < out.length; i++) {
        float expected = weight(type, block, i);
        assertThat(Float.floatToRawIntBits(out[i]))
            .as("%s, block %d, weight %d: %s, expected %s", type, n, i, out[i], expected)
            .isEqualTo(Float.floatToRawIntBits(expected));
      }
    }
  }

  @Test
  void valuesWorkedOutByHand() {
    byte[] q4 = new byte[18];
    half(q4, 0, 0.5f);
    q4[2] = (byte) 0xf1; // weight 0 is 1 - 8, weight 16 is 15 - 8
    assertThat(dequantized(GgmlType.Q4_0, q4)).startsWith(-3.5f, -4f).contains(3.5f);
    assertThat(dequantized(GgmlType.Q4_0, q4)[16]).isEqualTo(3.5f);

    byte[] q4k = new byte[144];
    half(q4k, 0, 2f);
    half(q4k, 2, 1f);
    q4k[4 + 5] = (byte) (3 | (1 << 6)); // minimum of group 1; upper bits of group 5's minimum
    q4k[4 + 1] = (byte) (5 | (2 << 6)); // scale of group 1; upper bits of group 5's scale
    q4k[4 + 9] = 0x21; // low bits of group 5: scale 1, minimum 2
    q4k[16] = 0x70; // weight 32: 7
    q4k[16 + 64] = 0x30; // weight 160: 3
    float[] values = dequantized(GgmlType.Q4_K, q4k);
    assertThat(values[32]).isEqualTo(2f * 5 * 7 - 3);
    assertThat(values[160]).isEqualTo(2f * (2 * 16 + 1) * 3 - (16 + 2));
    assertThat(values[0]).isZero();
  }

  private static float[] dequantized(GgmlType type, byte[] block) {
    float[] out = new float[type.blockElements()];
    GgufBlocks.dequantize(type, MemorySegment.ofArray(block), 0, out, 0);
    return out;
  }

  private static void finiteHalves(GgmlType type, byte[] block, Random random) {
    int at = type == GgmlType.Q6_K ? 208 : 0;
    half(block, at, (float) (random.nextGaussian() * 0.01));
    if (type == GgmlType.Q4_K || type == GgmlType.Q5_K) {
      half(block, at + 2, (float) (random.nextGaussian() * 0.01));
    }
  }

  private static void half(byte[] block, int at, float value) {
    short bits = Float.floatToFloat16(value);
    block[at] = (byte) bits;
    block[at + 1] = (byte) (bits >> 8);
  }

  /** The straightforward reading of the layouts: which bits, then the formula. */
  private static float weight(GgmlType type, byte[] b, int i) {
    return switch (type) {
      case Q4_0 -> (float) (bits(b, 8 * (2 + i % 16) + 4 * (i / 16), 4) - 8) * number(b, 0);
      case Q8_0 -> (float) b[2 + i] * number(b, 0);
      case Q4_K -> withMinimum(b, i, bits(b, nibble(16, i), 4));
      case Q5_K ->
          withMinimum(
              b, i, bits(b, nibble(48, i), 4) + 16 * bits(b, 8 * (16 + i % 32) + i / 32, 1));
      case Q6_K -> {
        int half = i / 128;
        int inHalf = i % 128;
        int low = bits(b, 8 * (64 * half + inHalf % 64) + 4 * (inHalf / 64), 4);
        int high = bits(b, 8 * (128 + 32 * half + inHalf % 32) + 2 * (inHalf / 32), 2);
        yield number(b, 208) * b[192 + i / 16] * (low + 16 * high - 32);
      }
      case F32, F16, BF16 -> throw new IllegalArgumentException(type + " has no blocks");
    };
  }

  /**
   * Of each 64 weights the first 32 are low nibbles, the others the high ones of the same bytes.
   */
  private static int nibble(int firstByte, int i) {
    return 8 * (firstByte + 32 * (i / 64) + i % 32) + 4 * (i / 32 % 2);
  }

  /**
   * Six bits each: those of the first four groups whole, of the last as nibble and two upper bits.
   */
  private static float withMinimum(byte[] b, int i, int q) {
    int group = i / 32;
    int first = group % 4;
    int scale =
        group < 4
            ? bits(b, 8 * (4 + first), 6)
            : bits(b, 8 * (12 + first), 4) + 16 * bits(b, 8 * (4 + first) + 6, 2);
    int minimum =
        group < 4
            ? bits(b, 8 * (8 + first), 6)
            : bits(b, 8 * (12 + first) + 4, 4) + 16 * bits(b, 8 * (8 + first) + 6, 2);
    // Both products are exact in double, and their difference is: one rounding, to F32.
    return (float) ((double) number(b, 0) * scale * q - (double) number(b, 2) * minimum);
  }

  private static float number(byte[] block, int at) {
    return Float.float16ToFloat((short) bits(block, 8 * at, 16));
  }

  /** So many bits from bit {@code from} on, least significant first. */
  private static int bits(byte[] block, int from, int count) {
    int value = 0;
    for (int i = 0; i < count; i++) {
      value |= ((block[(from + i) / 8] >> ((from + i) % 8)) & 1) << i;
    }
    return value;
  }
}
