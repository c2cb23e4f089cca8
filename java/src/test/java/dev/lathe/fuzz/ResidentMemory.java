package dev.lathe.fuzz;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What this process holds in memory, heap or not, and the most it held since the last reset; 0
 * where there is no Linux that tells. Files are held open: a fuzzer asks ten thousand times a
 * second.
 */
final class ResidentMemory {
  private static final RandomAccessFile STATUS = open("/proc/self/status", "r");
  private static final RandomAccessFile CLEAR = open("/proc/self/clear_refs", "rws");

  private ResidentMemory() {}

  private static RandomAccessFile open(String file, String mode) {
    try {
      return Files.exists(Path.of(file)) ? new RandomAccessFile(file, mode) : null;
    } catch (IOException e) {
      return null;
    }
  }

  static boolean isKnown() {
    return STATUS != null && CLEAR != null;
  }

  /** From now on the peak counts anew: what the kernel does for a 5 written there. */
  static void resetPeak() throws IOException {
    if (isKnown()) {
      CLEAR.write('5');
    }
  }

  static long bytes() throws IOException {
    return read("VmRSS:");
  }

  static long peakBytes() throws IOException {
    return read("VmHWM:");
  }

  private static synchronized long read(String name) throws IOException {
    if (!isKnown()) {
      return 0;
    }
    byte[] text = new byte[4096];
    STATUS.seek(0);
    int length = STATUS.read(text);
    String status = new String(text, 0, length, StandardCharsets.ISO_8859_1);
    int from = status.indexOf(name) + name.length();
    long kilobytes = Long.parseLong(status.substring(from, status.indexOf('k', from)).strip());
    return kilobytes << 10;
  }
}
