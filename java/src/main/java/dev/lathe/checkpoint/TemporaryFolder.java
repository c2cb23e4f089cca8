package dev.lathe.checkpoint;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Stream;

/**
 * {@code .NAME.lathe-PROCESS-RANDOM} beside NAME, with a file {@code ….lock} that its process holds
 * locked as long as it lives. A folder whose lock nobody holds is what a killed process left.
 *
 * @param path the folder
 * @param lockFile beside it
 * @param lock ends with the process, however it ends
 */
record TemporaryFolder(Path path, Path lockFile, FileChannel lock) {
  private static final String MARK = ".lathe-";
  private static final String LOCK = ".lock";

  /** Removes what killed processes left of the same target, and makes a new folder. */
  static TemporaryFolder create(Path target) throws IOException {
    removeLeftovers(target);
    while (true) {
      String random = HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong());
      Path folder = target.resolveSibling(prefix(target) + thisProcess() + "-" + random);
      Path lockFile = folder.resolveSibling(folder.getFileName() + LOCK);
      FileChannel channel =
          FileChannel.open(lockFile, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
      try {
        FileLock lock = channel.lock();
        // Another process may have taken the file for a leftover before it was locked.
        if (lock.isValid() && Files.exists(lockFile)) {
          Files.createDirectory(folder);
          return new TemporaryFolder(folder, lockFile, channel);
        }
        channel.close();
      } catch (IOException | RuntimeException e) {
        channel.close();
        Files.deleteIfExists(lockFile);
        throw e;
      }
    }
  }

  /** After the folder was renamed: gives up the lock. */
  void release() throws IOException {
    Files.deleteIfExists(lockFile);
    lock.close();
  }

  /** Removes the folder and gives up the lock. */
  void remove() throws IOException {
    deleteTree(path);
    release();
  }

  private static String prefix(Path target) {
    return "." + target.getFileName() + MARK;
  }

  /** Process ids are used again (in a container, always the same ones), start times are not. */
  private static String thisProcess() {
    ProcessHandle self = ProcessHandle.current();
    long started = self.info().startInstant().map(Instant::toEpochMilli).orElse(0L);
    return "%d-%x".formatted(self.pid(), started);
  }

  private static void removeLeftovers(Path target) throws IOException {
    String own = prefix(target) + thisProcess() + "-";
    List<Path> found = new ArrayList<>();
    try (DirectoryStream<Path> siblings =
        Files.newDirectoryStream(
            target.getParent(), file -> file.getFileName().toString().startsWith(prefix(target)))) {
      siblings.forEach(found::add);
    }
    for (Path file : found) {
      String name = file.getFileName().toString();
      // What this process is writing itself must not be opened: closing it would drop the lock.
      if (!name.startsWith(own)) {
        removeIfDead(
            name.endsWith(LOCK)
                ? file.resolveSibling(name.substring(0, name.length() - LOCK.length()))
                : file);
      }
    }
  }

  private static void removeIfDead(Path folder) throws IOException {
    Path lockFile = folder.resolveSibling(folder.getFileName() + LOCK);
    if (!Files.exists(lockFile)) {
      // Its lock is made before a folder and goes after it: nobody writes this one.
      deleteTree(folder);
      return;
    }
    try (FileChannel channel = FileChannel.open(lockFile, StandardOpenOption.WRITE)) {
      FileLock lock = channel.tryLock();
      if (lock != null) {
        deleteTree(folder);
        Files.deleteIfExists(lockFile);
      }
    } catch (OverlappingFileLockException e) {
      throw new IllegalStateException("a folder of this process under another's name", e);
    } catch (java.nio.file.NoSuchFileException e) {
      // Somebody else was faster; then the folder is theirs to remove.
      return;
    }
  }

  private static void deleteTree(Path folder) throws IOException {
    if (!Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    try (Stream<Path> tree = Files.walk(folder)) {
      for (Path file : tree.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    }
  }
}
