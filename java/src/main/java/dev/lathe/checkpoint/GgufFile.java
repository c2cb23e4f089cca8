package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * A GGUF file of version 2 or 3, mapped: magic, version, counts, metadata, what tensors there are,
 * and from the next multiple of the alignment on their data. Everything but the data is read and
 * checked here.
 */
record GgufFile(
    Path path, MemorySegment mapped, long version, GgufMetadata metadata, List<Entry> tensors) {

  /**
   * @param shape outermost first: the reverse of the order in the file
   * @param offset in the file
   */
  record Entry(String name, GgmlType type, long[] shape, long offset, long bytes) {}

  static final String ALIGNMENT = "general.alignment";
  static final int DEFAULT_ALIGNMENT = 32;
  static final int MAGIC = 0x46554747; // "GGUF", little-endian

  private static final long LARGEST_ALIGNMENT = 1 << 20;

  /** The format's own limit, with the zero that ends it in its reference implementation. */
  private static final int MOST_NAME_BYTES = 64;

  private static final int MOST_DIMENSIONS = 4;

  /** The least that a tensor's description takes: length, a character, one dimension and so on. */
  private static final int LEAST_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8;

  /** Far beyond any model; keeps a hostile file from filling the heap with entries. */
  private static final long MOST_TENSORS = 1 << 16;

  /**
   * Maps the file and checks everything but the weights.
   *
   * @param arena owns the mapping
   * @throws InvalidInputException names the place and what would be right
   */
  static GgufFile open(Path path, Arena arena) {
    if (!Files.isRegularFile(path)) {
      throw new InvalidInputException(path + " is no regular file");
    }
    MemorySegment mapped;
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    } catch (IOException e) {
      throw new InvalidInputException(path + " cannot be read: " + e.getMessage(), e);
    }
    return parse(path, mapped);
  }

  static GgufFile parse(Path path, MemorySegment mapped) {
    GgufCursor cursor = new GgufCursor(mapped, path.toString());
    if (mapped.byteSize() < 4 || cursor.u32("the magic number") != MAGIC) {
      throw new InvalidInputException(path + " is no GGUF file: it does not begin with \"GGUF\"");
    }
    long version = cursor.u32("the version");
    if (version != 2 && version != 3) {
      boolean swapped = Integer.reverseBytes((int) version) <= 3 && version != 0 && version != 1;
      throw cursor.bad(
          "version %d of GGUF is not read; Lathe reads 2 and 3, little-endian%s"
              .formatted(version, swapped ? " (this file is big-endian)" : ""));
    }
    long tensorCount = cursor.u64("the number of tensors");
    long keyCount = cursor.u64("the number of metadata keys");
    if (tensorCount > MOST_TENSORS || tensorCount > cursor.remaining() / LEAST_TENSOR_BYTES) {
      throw cursor.bad(
          "%d tensors are announced; %d bytes are left, and at most %d tensors are allowed"
              .formatted(tensorCount, cursor.remaining(), MOST_TENSORS));
    }
    GgufMetadata metadata = GgufMetadata.read(cursor, keyCount, mapped, path.toString());
    long alignment = alignment(metadata);
    List<Entry> relative = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (long i = 0; i < tensorCount; i++) {
      Entry entry = entry(cursor, i, alignment);
      if (!names.add(entry.name())) {
        throw cursor.bad("tensor %s is there twice".formatted(entry.name()));
      }
      relative.add(entry);
    }
    long dataStart = Math.ceilDiv(cursor.position(), alignment) * alignment;
    List<Entry> tensors = located(relative, dataStart, mapped.byteSize(), path);
    return new GgufFile(path, mapped, version, metadata, tensors);
  }

  private static long alignment(GgufMetadata metadata) {
    long alignment = metadata.integer(ALIGNMENT).orElse(DEFAULT_ALIGNMENT);
    if (alignment < 8 || alignment > LARGEST_ALIGNMENT || Long.bitCount(alignment) != 1) {
      throw metadata.bad(
          ALIGNMENT,
          "is %d; it must be a power of two from 8 to %d".formatted(alignment, LARGEST_ALIGNMENT));
    }
    return alignment;
  }

  /** What the file says about a tensor; the offset still counts from the start of the data. */
  private static Entry entry(GgufCursor cursor, long index, long alignment) {
    String name = cursor.string("the name of tensor " + index, MOST_NAME_BYTES);
    if (name.isEmpty()) {
      throw cursor.bad("tensor %d has no name".formatted(index));
    }
    String tensor = "tensor " + name;
    long rank = cursor.u32("the number of dimensions of " + tensor);
    if (rank < 1 || rank > MOST_DIMENSIONS) {
      throw cursor.bad("%s has %d dimensions; 1 to %d are right".formatted(tensor, rank, 4));
    }
    long[] shape = new long[(int) rank];
    long elements = 1;
    for (int i = shape.length - 1; i >= 0; i--) {
      shape[i] = cursor.u64("a dimension of " + tensor);
      if (shape[i] < 1 || shape[i] > Long.MAX_VALUE / elements) {
        throw cursor.bad(
            "%s has a dimension of %d; dimensions are at least 1, their product below 2^63"
                .formatted(tensor, shape[i]));
      }
      elements *= shape[i];
    }
    GgmlType type =
        GgmlType.withId(cursor.u32("the type of " + tensor), cursor.place() + ": " + tensor);
    if (shape[shape.length - 1] % type.blockElements() != 0) {
      throw cursor.bad(
          "%s is %s with rows of %d; rows of that type are multiples of %d"
              .formatted(tensor, type, shape[shape.length - 1], type.blockElements()));
    }
    long offset = cursor.u64("the offset of " + tensor);
    if (offset % alignment != 0) {
      throw cursor.bad(
          "%s begins at offset %d, which is no multiple of the alignment, %d"
              .formatted(tensor, offset, alignment));
    }
    if (elements / type.blockElements() > Long.MAX_VALUE / type.blockBytes()) {
      throw cursor.bad("%s takes more than 2^63 bytes".formatted(tensor));
    }
    return new Entry(name, type, shape, offset, type.bytes(elements));
  }

  /** Offsets in the file, once it is known that they lie in it and apart. */
  private static List<Entry> located(
      List<Entry> relative, long dataStart, long fileBytes, Path path) {
    long dataBytes = Math.max(0, fileBytes - dataStart);
    List<Entry> byOffset =
        relative.stream().sorted(Comparator.comparingLong(Entry::offset)).toList();
    Entry before = null;
    for (Entry entry : byOffset) {
      if (entry.bytes() > dataBytes || entry.offset() > dataBytes - entry.bytes()) {
        throw new InvalidInputException(
            "%s: tensor %s %s takes %d bytes from offset %d on, but only %d bytes of data are there: the file is truncated or damaged"
                .formatted(
                    path,
                    entry.name(),
                    Arrays.toString(entry.shape()),
                    entry.bytes(),
                    entry.offset(),
                    dataBytes));
      }
      if (before != null && entry.offset() < before.offset() + before.bytes()) {
        throw new InvalidInputException(
            "%s: tensor %s at offset %d overlaps tensor %s, which ends at %d"
                .formatted(
                    path,
                    entry.name(),
                    entry.offset(),
                    before.name(),
                    before.offset() + before.bytes()));
      }
      before = entry;
    }
    return relative.stream()
        .map(e -> new Entry(e.name(), e.type(), e.shape(), dataStart + e.offset(), e.bytes()))
        .toList();
  }

  /** The bytes of a tensor, as they lie in the file. */
  MemorySegment data(Entry entry) {
    return mapped.asSlice(entry.offset(), entry.bytes());
  }
}
