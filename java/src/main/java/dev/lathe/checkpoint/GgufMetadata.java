package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;

/**
 * The keys and values of a GGUF file. Values stay in the mapped file until they are asked for: a
 * vocabulary is not copied to be looked past.
 */
final class GgufMetadata {
  /** Types of values, by their number in the file. */
  enum Type {
    UINT8(0, 1),
    INT8(1, 1),
    UINT16(2, 2),
    INT16(3, 2),
    UINT32(4, 4),
    INT32(5, 4),
    FLOAT32(6, 4),
    BOOL(7, 1),
    STRING(8, 0),
    ARRAY(9, 0),
    UINT64(10, 8),
    INT64(11, 8),
    FLOAT64(12, 8);

    final int id;

    /** Bytes of a value; 0 where they differ. */
    final int bytes;

    Type(int id, int bytes) {
      this.id = id;
      this.bytes = bytes;
    }
  }

  /**
   * @param type of the value, or of an array's elements
   * @param count elements of an array; -1 where it is none
   * @param offset in the file, of the value or the first element
   */
  record Value(Type type, long count, long offset) {
    boolean isArray() {
      return count >= 0;
    }
  }

  private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
  private static final ValueLayout.OfShort U16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE);
  private static final ValueLayout.OfInt U32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE);
  private static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE);
  private static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE);
  private static final ValueLayout.OfDouble F64 =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(LITTLE);

  /** A real file has some dozens; keeps a hostile one from filling the heap with entries. */
  private static final long MOST_KEYS = 1 << 16;

  private static final int MOST_KEY_BYTES = 65_535;

  /** The least that a key takes: its length, one character, a type, one byte. */
  private static final int LEAST_BYTES = 8 + 1 + 4 + 1;

  private final MemorySegment file;
  private final String where;
  private final Map<String, Value> values = new LinkedHashMap<>();

  private GgufMetadata(MemorySegment file, String where) {
    this.file = file;
    this.where = where;
  }

  /** Reads {@code count} keys, checking lengths and types of everything on the way. */
  static GgufMetadata read(GgufCursor cursor, long count, MemorySegment file, String where) {
    if (count > MOST_KEYS || count > cursor.remaining() / LEAST_BYTES) {
      throw cursor.bad(
          "%d metadata keys are announced; %d bytes are left, and at most %d keys are allowed"
              .formatted(count, cursor.remaining(), MOST_KEYS));
    }
    GgufMetadata metadata = new GgufMetadata(file, where);
    for (long i = 0; i < count; i++) {
      String key = cursor.string("the name of metadata key " + i, MOST_KEY_BYTES);
      if (key.isEmpty()) {
        throw cursor.bad("metadata key %d has no name".formatted(i));
      }
      if (metadata.values.put(key, metadata.value(cursor, key)) != null) {
        throw cursor.bad("metadata key %s is there twice".formatted(key));
      }
    }
    return metadata;
  }

  private Value value(GgufCursor cursor, String key) {
    Type type = type(cursor, "the type of " + key);
    if (type != Type.ARRAY) {
      long at = cursor.position();
      skip(cursor, type, key);
      return new Value(type, -1, at);
    }
    Type element = type(cursor, "the type of the elements of " + key);
    if (element == Type.ARRAY) {
      throw cursor.bad(
          "%s is an array of arrays; arrays of numbers, bools and strings are read".formatted(key));
    }
    long count = cursor.u64("the length of " + key);
    long least = element == Type.STRING ? Long.BYTES : element.bytes;
    if (count > cursor.remaining() / least) {
      throw cursor.bad(
          "%s is given as %d elements of %s, but only %d bytes are left in the file"
              .formatted(key, count, element, cursor.remaining()));
    }
    long at = cursor.position();
    if (element == Type.STRING || element == Type.BOOL) {
      for (long i = 0; i < count; i++) {
        skip(cursor, element, key);
      }
    } else {
      cursor.take(count * element.bytes, key);
    }
    return new Value(element, count, at);
  }

  private static Type type(GgufCursor cursor, String what) {
    long number = cursor.u32(what);
    for (Type type : Type.values()) {
      if (type.id == number) {
        return type;
      }
    }
    throw cursor.bad("%s is %d; types go from 0 to 12".formatted(what, number));
  }

  private void skip(GgufCursor cursor, Type type, String key) {
    if (type == Type.STRING) {
      cursor.skipString(key);
      return;
    }
    long at = cursor.take(type.bytes, key);
    if (type == Type.BOOL) {
      int value = file.get(ValueLayout.JAVA_BYTE, at);
      if (value != 0 && value != 1) {
        throw cursor.bad("%s is the bool %d; bools are 0 or 1".formatted(key, value & 0xff));
      }
    }
  }

  Map<String, Value> values() {
    return values;
  }

  boolean has(String key) {
    return values.containsKey(key);
  }

  Optional<String> string(String key) {
    return single(key, Type.STRING)
        .map(value -> GgufCursor.utf8(bytes(value.offset()), where, key));
  }

  /**
   * A whole number of any width.
   *
   * @throws InvalidInputException if it is none, or passes 2^63
   */
  OptionalLong integer(String key) {
    Value value = values.get(key);
    if (value == null) {
      return OptionalLong.empty();
    }
    if (value.isArray()) {
      throw bad(key, "is an array; it must be one whole number");
    }
    return OptionalLong.of(integerAt(key, value, value.offset()));
  }

  /** The id of a token; 32 bits of ones, or a negative number, are how some writers say "none". */
  OptionalLong token(String key) {
    OptionalLong id = integer(key);
    return id.isPresent() && (id.getAsLong() < 0 || id.getAsLong() == 0xffffffffL)
        ? OptionalLong.empty()
        : id;
  }

  /** A floating number; an F32 as the shortest decimal that is it, so that 1e-5 stays 1e-5. */
  OptionalDouble number(String key) {
    Value value = values.get(key);
    if (value == null) {
      return OptionalDouble.empty();
    }
    if (!value.isArray() && value.type() == Type.FLOAT32) {
      return OptionalDouble.of(Double.parseDouble(Float.toString(file.get(F32, value.offset()))));
    }
    if (!value.isArray() && value.type() == Type.FLOAT64) {
      return OptionalDouble.of(file.get(F64, value.offset()));
    }
    throw bad(key, "is %s; it must be a floating number".formatted(describe(value)));
  }

  Optional<Boolean> flag(String key) {
    return single(key, Type.BOOL)
        .map(value -> file.get(ValueLayout.JAVA_BYTE, value.offset()) == 1);
  }

  Optional<List<String>> strings(String key) {
    return array(key, Type.STRING)
        .map(value -> {
          List<String> all = new ArrayList<>();
          long at = value.offset();
          for (long i = 0; i < value.count(); i++) {
            MemorySegment text = bytes(at);
            all.add(GgufCursor.utf8(text, where, key + "[" + i + "]"));
            at += Long.BYTES + text.byteSize();
          }
          return all;
        });
  }

  Optional<float[]> floats(String key) {
    return array(key, Type.FLOAT32)
        .map(value -> file.asSlice(value.offset(), value.count() * Float.BYTES).toArray(F32));
  }

  /** An array of whole numbers of any width; of bools, 0 and 1. */
  Optional<long[]> integers(String key) {
    return Optional.ofNullable(values.get(key))
        .map(value -> {
          if (!value.isArray() || value.type() == Type.STRING) {
            throw bad(
                key, "is %s; it must be an array of whole numbers".formatted(describe(value)));
          }
          long[] all = new long[Math.toIntExact(value.count())];
          for (int i = 0; i < all.length; i++) {
            long at = value.offset() + (long) i * value.type().bytes;
            all[i] =
                value.type() == Type.BOOL
                    ? file.get(ValueLayout.JAVA_BYTE, at)
                    : integerAt(key, value, at);
          }
          return all;
        });
  }

  private long integerAt(String key, Value value, long at) {
    return switch (value.type()) {
      case UINT8 -> file.get(ValueLayout.JAVA_BYTE, at) & 0xff;
      case INT8 -> file.get(ValueLayout.JAVA_BYTE, at);
      case UINT16 -> file.get(U16, at) & 0xffff;
      case INT16 -> file.get(U16, at);
      case UINT32 -> file.get(U32, at) & 0xffffffffL;
      case INT32 -> file.get(U32, at);
      case INT64 -> file.get(U64, at);
      case UINT64 -> {
        long number = file.get(U64, at);
        if (number < 0) {
          throw bad(key, "is %s, more than 2^63".formatted(Long.toUnsignedString(number)));
        }
        yield number;
      }
      case FLOAT32, FLOAT64, BOOL, STRING, ARRAY ->
          throw bad(key, "is %s; it must be a whole number".formatted(describe(value)));
    };
  }

  private Optional<Value> single(String key, Type type) {
    Value value = values.get(key);
    if (value != null && (value.isArray() || value.type() != type)) {
      throw bad(key, "is %s; it must be %s".formatted(describe(value), type));
    }
    return Optional.ofNullable(value);
  }

  private Optional<Value> array(String key, Type type) {
    Value value = values.get(key);
    if (value != null && (!value.isArray() || value.type() != type)) {
      throw bad(key, "is %s; it must be an array of %s".formatted(describe(value), type));
    }
    return Optional.ofNullable(value);
  }

  private static String describe(Value value) {
    return (value.isArray() ? "an array of " : "") + value.type();
  }

  private MemorySegment bytes(long at) {
    return file.asSlice(at + Long.BYTES, file.get(U64, at));
  }

  InvalidInputException bad(String key, String what) {
    return new InvalidInputException("%s: %s %s".formatted(where, key, what));
  }
}
