package dev.lathe.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Writes files into an {@link OutputFolder} in short steps, and forces each to the disk. */
record FolderFiles(OutputFolder folder) {
  /** Short enough that an interruption does not wait, long enough for the disk's full speed. */
  private static final int CHUNK_BYTES = 8 << 20;

  void write(String name, byte[] bytes) throws IOException {
    try (Output output = create(name)) {
      output.write(bytes, 0);
      output.force();
    }
  }

  void copy(String name, Path from) throws IOException {
    try (InputStream in = Files.newInputStream(from);
        Output output = create(name)) {
      long at = 0;
      for (byte[] chunk = in.readNBytes(CHUNK_BYTES);
          chunk.length > 0;
          chunk = in.readNBytes(CHUNK_BYTES)) {
        output.write(chunk, at);
        at += chunk.length;
      }
      output.force();
    }
  }

  Output create(String name) throws IOException {
    return folder.step(() ->
        new Output(
            folder,
            FileChannel.open(
                folder.path().resolve(name),
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.WRITE)));
  }

  /** A file that is being written, at any position. */
  record Output(OutputFolder folder, FileChannel channel) implements AutoCloseable {

    void write(byte[] bytes, long position) throws IOException {
      write(ByteBuffer.wrap(bytes), position);
    }

    /** The first {@code bytes} of the memory. */
    void write(MemorySegment memory, long bytes, long position) throws IOException {
      for (long at = 0; at < bytes; at += CHUNK_BYTES) {
        long chunk = Math.min(CHUNK_BYTES, bytes - at);
        write(memory.asSlice(at, chunk).asByteBuffer(), position + at);
      }
    }

    private void write(ByteBuffer buffer, long position) throws IOException {
      long at = position;
      while (buffer.hasRemaining()) {
        long here = at;
        at += folder.step(() -> channel.write(buffer, here));
      }
    }

    void force() throws IOException {
      channel.force(true);
    }

    @Override
    public void close() throws IOException {
      channel.close();
    }
  }
}
