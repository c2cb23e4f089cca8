package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * Types of tensors in a GGUF file that Lathe reads: their number in the file, and how many weights
 * lie in a block of how many bytes. Blocks never cross rows.
 */
enum GgmlType {
  F32(0, 1, 4),
  F16(1, 1, 2),
  Q4_0(2, 32, 18),
  Q8_0(8, 32, 34),
  Q4_K(12, 256, 144),
  Q5_K(13, 256, 176),
  Q6_K(14, 256, 210),
  BF16(30, 1, 2);

  /** Types of the format that are not read, so that the message can name them. */
  private static final Map<Long, String> OTHERS =
      Map.ofEntries(
          Map.entry(3L, "Q4_1"),
          Map.entry(6L, "Q5_0"),
          Map.entry(7L, "Q5_1"),
          Map.entry(9L, "Q8_1"),
          Map.entry(10L, "Q2_K"),
          Map.entry(11L, "Q3_K"),
          Map.entry(15L, "Q8_K"),
          Map.entry(16L, "IQ2_XXS"),
          Map.entry(17L, "IQ2_XS"),
          Map.entry(18L, "IQ3_XXS"),
          Map.entry(19L, "IQ1_S"),
          Map.entry(20L, "IQ4_NL"),
          Map.entry(21L, "IQ3_S"),
          Map.entry(22L, "IQ2_S"),
          Map.entry(23L, "IQ4_XS"),
          Map.entry(24L, "I8"),
          Map.entry(25L, "I16"),
          Map.entry(26L, "I32"),
          Map.entry(27L, "I64"),
          Map.entry(28L, "F64"),
          Map.entry(29L, "IQ1_M"),
          Map.entry(34L, "TQ1_0"),
          Map.entry(35L, "TQ2_0"),
          Map.entry(39L, "MXFP4"));

  private final int id;
  private final int blockElements;
  private final int blockBytes;

  GgmlType(int id, int blockElements, int blockBytes) {
    this.id = id;
    this.blockElements = blockElements;
    this.blockBytes = blockBytes;
  }

  int id() {
    return id;
  }

  int blockElements() {
    return blockElements;
  }

  int blockBytes() {
    return blockBytes;
  }

  boolean isPlain() {
    return blockElements == 1;
  }

  /**
   * Bytes of so many weights, which must fill their blocks.
   *
   * @throws ArithmeticException beyond 2^63
   */
  long bytes(long elements) {
    return Math.multiplyExact(elements / blockElements, blockBytes);
  }

  /**
   * @throws InvalidInputException if Lathe does not read that type; lists those it does
   */
  static GgmlType withId(long id, String where) {
    return Arrays.stream(values())
        .filter(type -> type.id == id)
        .findFirst()
        .orElseThrow(() ->
            new InvalidInputException(
                "%s has type %s, which Lathe does not read; it reads %s"
                    .formatted(
                        where,
                        Optional.ofNullable(OTHERS.get(id)).orElse("number " + id),
                        Arrays.toString(values()))));
  }
}
