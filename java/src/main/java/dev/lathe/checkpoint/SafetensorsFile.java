package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * One safetensors file, mapped: 8 bytes with the length of the header (little-endian), the header,
 * the data. Only the header is read here.
 *
 * @param mapped the whole file
 * @param data what follows the header
 */
record SafetensorsFile(
    Path path, SafetensorsHeader header, MemorySegment mapped, MemorySegment data) {

  /** The limit of the format's own implementation: a longer header is an attack or an accident. */
  static final long MAX_HEADER_BYTES = 100_000_000;

  static final int LENGTH_BYTES = 8;

  private static final ValueLayout.OfLong LENGTH =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /**
   * Maps the file and checks its header.
   *
   * @param arena owns the mapping
   * @throws InvalidInputException if it is missing or the header says what cannot be
   */
  static SafetensorsFile open(Path path, Arena arena) {
    if (!Files.isRegularFile(path)) {
      throw new InvalidInputException(
          Files.exists(path) ? path + " is no regular file" : path + " is missing");
    }
    MemorySegment mapped = map(path, arena);
    long fileBytes = mapped.byteSize();
    if (fileBytes < LENGTH_BYTES) {
      throw new InvalidInputException(
          fileBytes == 0
              ? path + " is empty; a safetensors file begins with the length of its header"
              : "%s is truncated: %d bytes are too few for the length of a header"
                  .formatted(path, fileBytes));
    }
    long headerBytes = mapped.get(LENGTH, 0);
    if (headerBytes < 0 || headerBytes > MAX_HEADER_BYTES) {
      throw new InvalidInputException(
          "%s: the header's length is given as %s bytes; at most %d are allowed, so this is no"
                  .formatted(path, Long.toUnsignedString(headerBytes), MAX_HEADER_BYTES)
              + " safetensors file or it is damaged");
    }
    long dataStart = LENGTH_BYTES + headerBytes;
    if (dataStart > fileBytes) {
      throw new InvalidInputException(
          "%s is truncated: its header is given as %d bytes, but only %d follow"
              .formatted(path, headerBytes, fileBytes - LENGTH_BYTES));
    }
    byte[] json = mapped.asSlice(LENGTH_BYTES, headerBytes).toArray(ValueLayout.JAVA_BYTE);
    MemorySegment data = mapped.asSlice(dataStart);
    return new SafetensorsFile(
        path, SafetensorsHeader.parse(json, data.byteSize(), path.toString()), mapped, data);
  }

  private static MemorySegment map(Path path, Arena arena) {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
    } catch (IOException e) {
      throw new InvalidInputException(path + " cannot be read: " + e.getMessage(), e);
    }
  }

  /** A view of the mapped bytes. */
  Tensor tensor(SafetensorsHeader.Entry entry) {
    return Tensor.of(
        data.asSlice(entry.begin(), entry.end() - entry.begin()),
        entry.info().dtype(),
        entry.info().dimensions());
  }
}
