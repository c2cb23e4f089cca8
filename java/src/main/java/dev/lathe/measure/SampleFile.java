package dev.lathe.measure;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.IoReason;
import dev.lathe.error.LatheException;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/**
 * JSON lines that are only ever added to. A line counts once its newline is there: what follows the
 * last newline was cut off by a crash and is dropped when the file is opened again.
 */
final class SampleFile implements AutoCloseable {
  private final Path file;
  private final FileChannel channel;
  private final long droppedBytes;

  private SampleFile(Path file, FileChannel channel, long droppedBytes) {
    this.file = file;
    this.channel = channel;
    this.droppedBytes = droppedBytes;
  }

  static SampleFile open(Path file) {
    FileChannel channel = null;
    try {
      channel =
          FileChannel.open(
              file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
      lock(file, channel);
      long whole = wholeBytes(channel);
      long dropped = channel.size() - whole;
      channel.truncate(whole).position(whole);
      return new SampleFile(file, channel, dropped);
    } catch (IOException | LatheException e) {
      closeAfter(channel, e);
      throw e instanceof IOException io ? failure(file, "opened", io) : (LatheException) e;
    }
  }

  private static void lock(Path file, FileChannel channel) throws IOException {
    FileLock lock;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      throw inUse(file, e);
    }
    if (lock == null) {
      throw inUse(file, null);
    }
  }

  private static LatheException inUse(Path file, Exception cause) {
    return new LatheException(
        LatheException.FAILED,
        "%s: another run is writing to it; wait for it, or give another folder".formatted(file),
        cause);
  }

  /** Bytes up to and with the last newline. */
  private static long wholeBytes(FileChannel channel) throws IOException {
    ByteBuffer block = ByteBuffer.allocate(1 << 16);
    for (long end = channel.size(); end > 0; ) {
      long start = Math.max(0, end - block.capacity());
      block.clear().limit((int) (end - start));
      while (block.hasRemaining() && channel.read(block, start + block.position()) >= 0) {}
      for (int i = block.position() - 1; i >= 0; i--) {
        if (block.get(i) == '\n') {
          return start + i + 1;
        }
      }
      end = start;
    }
    return 0;
  }

  long droppedBytes() {
    return droppedBytes;
  }

  void append(ObjectNode sample) {
    byte[] line = (RunJson.line(sample) + "\n").getBytes(StandardCharsets.UTF_8);
    long start = -1;
    try {
      start = channel.position();
      WholeFile.writeFully(channel, ByteBuffer.wrap(line));
    } catch (IOException e) {
      LatheException failure = failure(file, "written", e);
      dropFrom(start, failure);
      throw failure;
    }
  }

  /** Half a line must not run into the next one. */
  private void dropFrom(long start, LatheException failure) {
    if (start < 0) {
      return;
    }
    try {
      channel.truncate(start).position(start);
    } catch (IOException e) {
      failure.addSuppressed(e);
    }
  }

  /** Waits until every line is on the disk. */
  void force() {
    try {
      channel.force(true);
    } catch (IOException e) {
      throw failure(file, "written", e);
    }
  }

  /** Every whole line. */
  static List<ObjectNode> read(Path file) {
    List<ObjectNode> samples = new ArrayList<>();
    if (!Files.exists(file)) {
      return samples;
    }
    try (BufferedReader reader = Files.newBufferedReader(file)) {
      StringBuilder line = new StringBuilder();
      for (int c = reader.read(); c >= 0; c = reader.read()) {
        if (c != '\n') {
          line.append((char) c);
          continue;
        }
        String where = "%s line %d".formatted(file, samples.size() + 1);
        samples.add(RunJson.read(line.toString(), ObjectNode.class, where));
        line.setLength(0);
      }
      return samples;
    } catch (java.nio.charset.CharacterCodingException e) {
      throw new InvalidInputException(
          "%s line %d: is not UTF-8".formatted(file, samples.size() + 1), e);
    } catch (IOException e) {
      throw failure(file, "read", e);
    }
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw failure(file, "closed", e);
    }
  }

  private static LatheException failure(Path file, String what, IOException e) {
    return new LatheException(
        LatheException.FAILED, "%s: cannot be %s: %s".formatted(file, what, IoReason.of(e)), e);
  }

  private static void closeAfter(FileChannel channel, Exception failure) {
    if (channel == null) {
      return;
    }
    try {
      channel.close();
    } catch (IOException e) {
      failure.addSuppressed(e);
    }
  }
}
