package dev.lathe.fuzz;

import com.sun.management.ThreadMXBean;
import dev.lathe.error.LatheException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/**
 * Gives a reader one input and holds it to what readers promise: it reads, or it throws a {@link
 * LatheException} that names the file; within ten seconds of its thread's work; with at most 64 MB
 * of heap, and as much beside it.
 *
 * <p>Heap is what the reading thread allocates, garbage included. Memory beside it is the growth of
 * the process's resident set, from the kernel's high-water mark, which is reset before each input;
 * without Linux's {@code /proc} it is not looked at. Pages of the heap that are used for the first
 * time count there as well, so as much as was allocated on the heap is taken off. What exceeds a
 * limit is read once more: an input that is at fault exceeds it again, a class that was loaded or a
 * compiler thread that was busy meanwhile does not.
 */
final class Harness {
  static final long MOST_BYTES = 64L << 20;
  static final Duration LONGEST = Duration.ofSeconds(10);

  /** A thread that does not work is taken for stuck after so many times the limit. */
  private static final int LONGEST_ASLEEP = 10;

  /** Reads what lies in the file; what it returns is closed and forgotten. */
  interface Reader {
    void read(Path file) throws IOException;
  }

  /** Set by {@code scripts/fuzz}: libFuzzer's own alarm ends what hangs, with the input saved. */
  private static final boolean FUZZING = Boolean.getBoolean("lathe.fuzz");

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  private final String file;
  private final Reader reader;
  private final Duration longest;
  private Path folder;

  /**
   * @param file what the input is called, and what messages must name
   */
  Harness(String file, Reader reader) {
    this(file, reader, LONGEST);
  }

  Harness(String file, Reader reader, Duration longest) {
    this.file = file;
    this.reader = reader;
    this.longest = longest;
  }

  String file() {
    return file;
  }

  /** Reads an input that must not be refused. */
  void checkRead(byte[] input) throws IOException {
    reader.read(Files.write(folder().resolve(file), input));
  }

  /** The same reader with something after it: how planted faults come in. */
  Harness followedBy(Reader fault, Duration limit) {
    return new Harness(
        file,
        path -> {
          reader.read(path);
          fault.read(path);
        },
        limit);
  }

  /**
   * @throws AssertionError for a broken promise; any other throwable is the reader's own
   */
  void check(byte[] input) {
    if (FUZZING) {
      checkHere(input);
      return;
    }
    Throwable[] thrown = new Throwable[1];
    Thread thread =
        Thread.ofPlatform()
            .daemon()
            .name("reader of " + file)
            .start(() -> {
              try {
                checkHere(input);
              } catch (Throwable t) {
                thrown[0] = t;
              }
            });
    waitFor(thread);
    if (thrown[0] != null) {
      throw new AssertionError(thrown[0].toString(), thrown[0]);
    }
  }

  /** On a machine that is busy otherwise a thread may stand still for long: its own time counts. */
  private void waitFor(Thread thread) {
    long began = System.nanoTime();
    try {
      while (!thread.join(Duration.ofMillis(100))) {
        long worked = THREADS.getThreadCpuTime(thread.threadId());
        boolean stuck = System.nanoTime() - began > LONGEST_ASLEEP * longest.toNanos();
        if (worked > longest.toNanos() || stuck) {
          AssertionError hang = new AssertionError("still reading after " + longest);
          hang.setStackTrace(thread.getStackTrace());
          thread.interrupt();
          throw hang;
        }
      }
    } catch (InterruptedException e) {
      thread.interrupt();
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", e);
    }
  }

  private void checkHere(byte[] input) {
    try {
      Path path = Files.write(folder().resolve(file), input);
      Memory taken = read(path);
      if (taken.isTooMuch()) {
        taken = read(path);
      }
      if (taken.isTooMuch()) {
        throw new AssertionError("%s for a file of %d bytes".formatted(taken, input.length));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Where this reader's files lie: one folder, each input in the place of the one before. */
  private Path folder() throws IOException {
    if (folder == null) {
      folder = Files.createTempDirectory("lathe-fuzz");
      folder.toFile().deleteOnExit();
      folder.resolve(file).toFile().deleteOnExit();
    }
    return folder;
  }

  private record Memory(long heapBytes, long otherBytes) {
    boolean isTooMuch() {
      return heapBytes > MOST_BYTES || otherBytes > MOST_BYTES;
    }
  }

  private Memory read(Path path) throws IOException {
    ResidentMemory.resetPeak();
    long resident = ResidentMemory.bytes();
    long heap = THREADS.getCurrentThreadAllocatedBytes();
    long worked = THREADS.getCurrentThreadCpuTime();
    try {
      reader.read(path);
    } catch (LatheException e) {
      String message = e.getMessage();
      if (message == null || !message.contains(file)) {
        throw new AssertionError("the message does not name " + file + ": " + message, e);
      }
    }
    heap = THREADS.getCurrentThreadAllocatedBytes() - heap;
    worked = THREADS.getCurrentThreadCpuTime() - worked;
    if (worked > longest.toNanos()) {
      throw new AssertionError("read for " + Duration.ofNanos(worked));
    }
    return new Memory(heap, ResidentMemory.peakBytes() - resident - heap);
  }
}
