package dev.lathe.checkpoint;

import dev.lathe.error.LatheException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;

/**
 * Writes a GGUF file of version 3: some rows in memory at a time, and the file appears whole or not
 * at all.
 */
final class GgufWriter {
  /** Fills rows of a tensor in the file's order. */
  interface Rows {
    /** Row {@code row} as it goes into the file. */
    void write(long row, MemorySegment out);
  }

  /**
   * A tensor to be written.
   *
   * @param shape outermost first
   */
  record Planned(String name, GgmlType type, long[] shape, Rows rows) {
    long rowBytes() {
      return type.bytes(shape[shape.length - 1]);
    }

    long rowCount() {
      return shape.length == 1 ? 1 : shape[0];
    }

    long bytes() {
      return rowBytes() * rowCount();
    }
  }

  private static final long CHUNK_BYTES = 8 << 20;

  private final Path target;
  private final GgufMetadataBuilder metadata;
  private final List<Planned> tensors;

  GgufWriter(Path target, GgufMetadataBuilder metadata, List<Planned> tensors) {
    this.target = target;
    this.metadata = metadata;
    this.tensors = tensors;
  }

  /**
   * Writes, opens what was written to check it, and gives it its name.
   *
   * @param bytesDone hears how many bytes of tensors have been written so far
   * @return bytes of the file
   * @throws LatheException (exit code 1) if the disk is full or fails; nothing is left then
   */
  long write(LongConsumer bytesDone) {
    int alignment = GgufFile.DEFAULT_ALIGNMENT;
    List<Long> offsets = new ArrayList<>();
    long at = 0;
    for (Planned tensor : tensors) {
      offsets.add(at);
      at += Math.ceilDiv(tensor.bytes(), (long) alignment) * alignment;
    }
    byte[] header = metadata.header(tensors, offsets, alignment);
    String name = target.getFileName().toString();
    try (OutputFolder output = OutputFolder.begin(target)) {
      try {
        long free = Files.getFileStore(output.path()).getUsableSpace();
        if (free < header.length + at) {
          throw new LatheException(
              LatheException.FAILED,
              "%s cannot be written: the disk is full. It needs %,d bytes, %,d are free; nothing is left of it"
                  .formatted(target, header.length + at, free));
        }
        try (FolderFiles.Output file = new FolderFiles(output).create(name)) {
          file.write(header, 0);
          long done = 0;
          for (int i = 0; i < tensors.size(); i++) {
            done = write(file, tensors.get(i), header.length + offsets.get(i), done, bytesDone);
          }
          // The last tensor is padded too, as the format's reference implementation has it.
          long used = tensors.isEmpty() ? 0 : offsets.getLast() + tensors.getLast().bytes();
          file.write(new byte[Math.toIntExact(at - used)], header.length + used);
          file.force();
        }
        try (Checkpoint written = Checkpoints.open(output.path().resolve(name))) {
          long bytes = written.fileBytes();
          output.commitFile(name);
          return bytes;
        }
      } catch (IOException e) {
        throw OutputFolder.failure(target, e);
      }
    }
  }

  private static long write(
      FolderFiles.Output file, Planned tensor, long position, long before, LongConsumer bytesDone)
      throws IOException {
    long rowBytes = tensor.rowBytes();
    long rowsAtOnce = Math.clamp(CHUNK_BYTES / rowBytes, 1, tensor.rowCount());
    long done = 0;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment buffer = arena.allocate(rowsAtOnce * rowBytes, 64);
      for (long row = 0; row < tensor.rowCount(); row += rowsAtOnce) {
        long count = Math.min(rowsAtOnce, tensor.rowCount() - row);
        for (long r = 0; r < count; r++) {
          tensor.rows().write(row + r, buffer.asSlice(r * rowBytes, rowBytes));
        }
        file.write(buffer, count * rowBytes, position + done);
        done += count * rowBytes;
        bytesDone.accept(before + done);
      }
    }
    return before + done;
  }
}
