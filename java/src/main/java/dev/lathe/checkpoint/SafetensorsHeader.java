package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.json.JsonFactory;

/**
 * What the header of a safetensors file says, checked against the file's length: every tensor lies
 * within the data, as long as its shape and type need, and the tensors cover the data without
 * overlap or hole.
 *
 * @param entries in the order of their bytes
 * @param metadata the {@code __metadata__} map; empty where there is none
 * @see <a href="https://github.com/huggingface/safetensors#format">the format</a>
 */
record SafetensorsHeader(List<Entry> entries, Map<String, String> metadata) {

  /** Offsets count from the end of the header; {@code end} is exclusive. */
  record Entry(TensorInfo info, long begin, long end) {}

  /**
   * @param json the header's bytes, without the length before it
   * @param dataBytes what the file holds after the header
   * @param where the file, for messages
   * @throws InvalidInputException at the first thing that does not fit; names file and tensor
   */
  static SafetensorsHeader parse(byte[] json, long dataBytes, String where) {
    List<Entry> entries = new ArrayList<>();
    Map<String, String> metadata = new LinkedHashMap<>();
    try (JsonParser parser =
        JsonFactory.builder()
            .build()
            .createParser(tools.jackson.core.ObjectReadContext.empty(), json)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new InvalidInputException(
            where + ": the header must be a JSON object, {...}; it is something else");
      }
      Set<String> seen = new HashSet<>();
      while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
        String name = parser.currentName();
        if (!seen.add(name)) {
          throw new InvalidInputException(
              "%s: tensor %s is named twice in the header; names must differ"
                  .formatted(where, name));
        }
        parser.nextToken();
        if (name.equals("__metadata__")) {
          readMetadata(parser, metadata, where);
        } else {
          entries.add(readEntry(parser, name, where));
        }
      }
      if (parser.nextToken() != null) {
        throw new InvalidInputException(where + ": the header goes on after its JSON object");
      }
    } catch (JacksonException e) {
      throw new InvalidInputException(
          where + ": the header is no valid JSON: " + StrictJson.describe(e), e);
    }
    entries.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    checkCover(entries, dataBytes, where);
    return new SafetensorsHeader(List.copyOf(entries), Map.copyOf(metadata));
  }

  private static void readMetadata(JsonParser parser, Map<String, String> metadata, String where) {
    if (parser.currentToken() != JsonToken.START_OBJECT) {
      throw new InvalidInputException(where + ": __metadata__ must be an object of strings");
    }
    while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
      String key = parser.currentName();
      if (parser.nextToken() != JsonToken.VALUE_STRING) {
        throw new InvalidInputException(
            "%s: __metadata__ key \"%s\" must be a string".formatted(where, key));
      }
      if (metadata.put(key, parser.getString()) != null) {
        throw new InvalidInputException(
            "%s: __metadata__ has the key \"%s\" twice".formatted(where, key));
      }
    }
  }

  private static Entry readEntry(JsonParser parser, String name, String where) {
    String place = "%s: tensor %s".formatted(where, name);
    if (parser.currentToken() != JsonToken.START_OBJECT) {
      throw new InvalidInputException(
          place + " must be an object with dtype, shape and data_offsets");
    }
    DType dtype = null;
    List<Long> shape = null;
    List<Long> offsets = null;
    Map<String, Boolean> keys = new HashMap<>();
    while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
      String key = parser.currentName();
      if (keys.put(key, true) != null) {
        throw new InvalidInputException("%s has the key \"%s\" twice".formatted(place, key));
      }
      parser.nextToken();
      switch (key) {
        case "dtype" -> {
          if (parser.currentToken() != JsonToken.VALUE_STRING) {
            throw new InvalidInputException(place + ": dtype must be a string such as \"F32\"");
          }
          dtype = DType.named(parser.getString(), place);
        }
        case "shape" -> shape = readSizes(parser, place, "shape");
        case "data_offsets" -> offsets = readSizes(parser, place, "data_offsets");
        default ->
            throw new InvalidInputException(
                "%s has the unknown key \"%s\"; there are dtype, shape and data_offsets"
                    .formatted(place, key));
      }
    }
    if (dtype == null || shape == null || offsets == null) {
      throw new InvalidInputException(
          "%s has no %s"
              .formatted(
                  place, dtype == null ? "dtype" : shape == null ? "shape" : "data_offsets"));
    }
    if (offsets.size() != 2) {
      throw new InvalidInputException(
          "%s: data_offsets must be [begin, end], not %s".formatted(place, offsets));
    }
    return checkEntry(new TensorInfo(name, dtype, shape), offsets.get(0), offsets.get(1), place);
  }

  private static Entry checkEntry(TensorInfo info, long begin, long end, String place) {
    if (end < begin) {
      throw new InvalidInputException(
          "%s: data_offsets [%d, %d] are reversed: the end must not lie before the beginning"
              .formatted(place, begin, end));
    }
    long needed;
    try {
      needed = info.bytes();
    } catch (ArithmeticException e) {
      throw new InvalidInputException(
          "%s: shape %s has more than 2^63 bytes".formatted(place, info.shape()), e);
    }
    if (end - begin != needed) {
      throw new InvalidInputException(
          "%s: data_offsets [%d, %d] hold %d bytes, but shape %s of %s needs %d"
              .formatted(place, begin, end, end - begin, info.shape(), info.dtype(), needed));
    }
    return new Entry(info, begin, end);
  }

  /** A list of integers that are not negative. */
  private static List<Long> readSizes(JsonParser parser, String place, String key) {
    if (parser.currentToken() != JsonToken.START_ARRAY) {
      throw new InvalidInputException("%s: %s must be a list of integers".formatted(place, key));
    }
    List<Long> sizes = new ArrayList<>();
    while (parser.nextToken() != JsonToken.END_ARRAY) {
      if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT) {
        throw new InvalidInputException("%s: %s must be a list of integers".formatted(place, key));
      }
      if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
        throw new InvalidInputException(
            "%s: %s holds %s, which is out of range"
                .formatted(place, key, parser.getBigIntegerValue()));
      }
      long size = parser.getLongValue();
      if (size < 0) {
        throw new InvalidInputException(
            "%s: %s holds %d; it must not be negative".formatted(place, key, size));
      }
      sizes.add(size);
    }
    return sizes;
  }

  private static void checkCover(List<Entry> entries, long dataBytes, String where) {
    long position = 0;
    String before = null;
    for (Entry entry : entries) {
      String place = "%s: tensor %s".formatted(where, entry.info().name());
      if (entry.end() > dataBytes) {
        throw new InvalidInputException(
            "%s ends at byte %d of the data, but the file holds only %d bytes of data: it is"
                    .formatted(place, entry.end(), dataBytes)
                + " truncated, or the offsets are wrong");
      }
      if (entry.begin() < position) {
        throw new InvalidInputException(
            "%s begins at byte %d of the data and overlaps tensor %s, which ends at byte %d"
                .formatted(place, entry.begin(), before, position));
      }
      if (entry.begin() > position) {
        throw new InvalidInputException(
            "%s begins at byte %d of the data and leaves a hole of %d bytes before it"
                .formatted(place, entry.begin(), entry.begin() - position));
      }
      position = entry.end();
      before = entry.info().name();
    }
    if (position != dataBytes) {
      throw new InvalidInputException(
          "%s: the tensors end at byte %d of the data, but the file goes on to byte %d"
              .formatted(where, position, dataBytes));
    }
  }
}
