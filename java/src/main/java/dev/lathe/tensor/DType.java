package dev.lathe.tensor;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.Locale;

/** Element types; the names are those of the safetensors format. */
public enum DType {
  F32(4, true),
  F16(2, true),
  BF16(2, true),
  F8_E4M3(1, true),
  I8(1, false),
  U8(1, false),
  I32(4, false),
  I64(8, false);

  private final int bytes;
  private final boolean floating;

  DType(int bytes, boolean floating) {
    this.bytes = bytes;
    this.floating = floating;
  }

  /** Bytes an element takes. */
  public int bytes() {
    return bytes;
  }

  /** As configurations and command lines write it: {@code bf16}, {@code int8}. */
  public String label() {
    return this == I8 ? "int8" : name().toLowerCase(Locale.ROOT);
  }

  public boolean isFloating() {
    return floating;
  }

  /**
   * The type of that name.
   *
   * @throws InvalidInputException if Lathe cannot read such a type; lists those it can
   */
  public static DType named(String name, String where) {
    for (DType dtype : values()) {
      if (dtype.name().equals(name)) {
        return dtype;
      }
    }
    throw new InvalidInputException(
        "%s: dtype \"%s\" is not supported; Lathe reads %s"
            .formatted(where, name, Arrays.toString(values())));
  }
}
