package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Reads a GGUF header from front to back; never past the end of the file. Little-endian. */
final class GgufCursor {
  private static final ValueLayout.OfInt U32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong U64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final MemorySegment file;
  private final String where;
  private long at;

  GgufCursor(MemorySegment file, String where) {
    this.file = file;
    this.where = where;
  }

  /** The file, for messages. */
  String place() {
    return where;
  }

  long position() {
    return at;
  }

  long remaining() {
    return file.byteSize() - at;
  }

  /** 32 bits without sign. */
  long u32(String what) {
    return file.get(U32, take(4, what)) & 0xffffffffL;
  }

  /**
   * A count, a length or an offset: 64 bits without sign.
   *
   * @throws InvalidInputException beyond 2^63, where nothing of a file can be
   */
  long u64(String what) {
    long value = file.get(U64, take(8, what));
    if (value < 0) {
      throw bad("%s is %s, more than 2^63".formatted(what, Long.toUnsignedString(value)));
    }
    return value;
  }

  /** A string: its length, and that many bytes of UTF-8. */
  String string(String what, long mostBytes) {
    long bytes = stringBytes(what);
    if (bytes > mostBytes) {
      throw bad("%s is %d bytes long; at most %d are allowed".formatted(what, bytes, mostBytes));
    }
    return utf8(file.asSlice(take(bytes, what), bytes), where, what);
  }

  /** Goes over a string. */
  void skipString(String what) {
    take(stringBytes(what), what);
  }

  private long stringBytes(String what) {
    long bytes = u64("the length of " + what);
    if (bytes > remaining()) {
      throw bad(
          "%s is given as %d bytes long, but only %d are left in the file"
              .formatted(what, bytes, remaining()));
    }
    return bytes;
  }

  /** Goes over so many bytes, and says where they began. */
  long take(long bytes, String what) {
    if (bytes > remaining()) {
      throw bad(
          "the file ends at byte %d within %s: it is truncated".formatted(file.byteSize(), what));
    }
    long from = at;
    at += bytes;
    return from;
  }

  InvalidInputException bad(String message) {
    return new InvalidInputException("%s: %s (at byte %d)".formatted(where, message, at));
  }

  static String utf8(MemorySegment bytes, String where, String what) {
    try {
      ByteBuffer buffer = ByteBuffer.wrap(bytes.toArray(ValueLayout.JAVA_BYTE));
      return StandardCharsets.UTF_8.newDecoder().decode(buffer).toString();
    } catch (CharacterCodingException e) {
      throw new InvalidInputException("%s: %s is no valid UTF-8".formatted(where, what), e);
    }
  }
}
