package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/**
 * What identifies a checkpoint: SHA-256 over {@code config.json} and then the weight files in the
 * order of their names; of each its name (UTF-8), a zero byte, its length (8 bytes, little-endian)
 * and its bytes. Tokenizer and lineage do not count: they do not change what the weights compute.
 * Of a GGUF file, which has all of it in one, everything counts.
 */
final class CheckpointHash {
  private static final long CHUNK_BYTES = 8L << 20;

  private CheckpointHash() {}

  /** Lower-case hexadecimal. */
  static String of(Path config, List<SafetensorsFile> files) {
    MessageDigest digest = sha256();
    try {
      byte[] bytes = Files.readAllBytes(config);
      begin(digest, config, bytes.length);
      digest.update(bytes);
    } catch (IOException e) {
      throw new InvalidInputException(config + " cannot be read: " + e.getMessage(), e);
    }
    files.forEach(file -> update(digest, file.path(), file.mapped()));
    return HexFormat.of().formatHex(digest.digest());
  }

  /** Of a file that holds the configuration too. */
  static String of(Path path, MemorySegment mapped) {
    MessageDigest digest = sha256();
    update(digest, path, mapped);
    return HexFormat.of().formatHex(digest.digest());
  }

  private static void update(MessageDigest digest, Path path, MemorySegment mapped) {
    begin(digest, path, mapped.byteSize());
    for (long at = 0; at < mapped.byteSize(); at += CHUNK_BYTES) {
      long bytes = Math.min(CHUNK_BYTES, mapped.byteSize() - at);
      digest.update(mapped.asSlice(at, bytes).asByteBuffer());
    }
  }

  private static void begin(MessageDigest digest, Path file, long bytes) {
    digest.update(file.getFileName().toString().getBytes(StandardCharsets.UTF_8));
    digest.update((byte) 0);
    digest.update(
        ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(bytes).flip());
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java runtime has SHA-256", e);
    }
  }
}
