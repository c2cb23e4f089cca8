package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.IoReason;
import dev.lathe.error.LatheException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * A folder that appears whole or not at all. It is filled under a temporary name beside its final
 * one and renamed at the end; where that does not happen (an exception, Ctrl-C) it is removed, and
 * what a killed process left is removed by the next one that writes the same folder.
 */
final class OutputFolder implements AutoCloseable {
  /** Something that touches files. */
  interface FileStep<T> {
    T run() throws IOException;
  }

  private enum State {
    OPEN,
    COMMITTED,
    ABORTED
  }

  private final Path target;
  private final Deque<Path> createdParents;
  private final TemporaryFolder temporary;
  private final Thread hook;
  private State state = State.OPEN;

  private OutputFolder(Path target, Deque<Path> createdParents, TemporaryFolder temporary) {
    this.target = target;
    this.createdParents = createdParents;
    this.temporary = temporary;
    this.hook = new Thread(this::abort, "lathe-remove-unfinished-output");
  }

  /**
   * @throws InvalidInputException if the target exists
   */
  static void requireNew(Path target) {
    if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
      throw new InvalidInputException(target + " exists already; --out wants a new name");
    }
  }

  /** Makes the temporary folder, and the folders above the target where they are missing. */
  static OutputFolder begin(Path target) {
    Path absolute = target.toAbsolutePath().normalize();
    requireNew(absolute);
    Deque<Path> created = new ArrayDeque<>();
    try {
      createParents(absolute.getParent(), created);
      TemporaryFolder temporary = TemporaryFolder.create(absolute);
      OutputFolder folder = new OutputFolder(absolute, created, temporary);
      folder.addHook();
      return folder;
    } catch (IOException e) {
      removeParents(created);
      throw failure(absolute, e);
    }
  }

  private void addHook() {
    try {
      Runtime.getRuntime().addShutdownHook(hook);
    } catch (IllegalStateException e) {
      abort();
      throw interrupted(e);
    }
  }

  /** Where to write until {@link #commit}. */
  Path path() {
    return temporary.path();
  }

  /**
   * Runs a short step that creates or extends a file, unless the program is being ended: then the
   * folder is gone and must not come back.
   *
   * @throws LatheException if the program is being ended
   */
  synchronized <T> T step(FileStep<T> step) throws IOException {
    if (state != State.OPEN) {
      throw interrupted(null);
    }
    return step.run();
  }

  private LatheException interrupted(Throwable cause) {
    return new LatheException(
        LatheException.FAILED, "writing " + target + " was interrupted; nothing is left", cause);
  }

  /** Gives the folder its final name; its files must have been forced to the disk. */
  void commit() throws IOException {
    force(temporary.path());
    step(() -> {
      requireNew(target);
      Files.move(temporary.path(), target, StandardCopyOption.ATOMIC_MOVE);
      state = State.COMMITTED;
      return target;
    });
    force(target.getParent());
    temporary.release();
    removeHook();
  }

  /** Gives one file of the folder the final name instead; the folder goes. */
  void commitFile(String name) throws IOException {
    step(() -> {
      requireNew(target);
      Files.move(temporary.path().resolve(name), target, StandardCopyOption.ATOMIC_MOVE);
      state = State.COMMITTED;
      return target;
    });
    force(target.getParent());
    temporary.remove();
    removeHook();
  }

  /** Forces a folder's entries to the disk. */
  private static void force(Path folder) throws IOException {
    try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  /** Removes the folder unless it was committed. */
  @Override
  public void close() {
    if (abort()) {
      removeHook();
    }
  }

  private synchronized boolean abort() {
    if (state != State.OPEN) {
      return false;
    }
    state = State.ABORTED;
    try {
      temporary.remove();
    } catch (IOException e) {
      throw failure(target, e);
    } finally {
      removeParents(createdParents);
    }
    return true;
  }

  private void removeHook() {
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The hook is running already, and finds nothing to do.
      assert state != State.OPEN : e;
    }
  }

  /** Makes the folders that are missing; the root never is. */
  private static void createParents(Path parent, Deque<Path> created) throws IOException {
    Deque<Path> missing = new ArrayDeque<>();
    Path existing = parent;
    for (; !Files.exists(existing); existing = existing.getParent()) {
      missing.push(existing);
    }
    if (!Files.isDirectory(existing)) {
      throw new InvalidInputException(existing + " is a file; a new folder cannot be made in it");
    }
    for (Path p : missing) {
      Files.createDirectory(p);
      created.push(p);
    }
  }

  /** Removes the folders that were made for this one, unless something else is in them by now. */
  private static void removeParents(Deque<Path> created) {
    for (Path p : created) {
      try {
        Files.deleteIfExists(p);
      } catch (DirectoryNotEmptyException e) {
        return;
      } catch (IOException e) {
        throw failure(p, e);
      }
    }
  }

  /** What a failed write means to whoever asked for it. */
  static LatheException failure(Path target, IOException e) {
    if (e instanceof AccessDeniedException || e instanceof FileAlreadyExistsException) {
      String file = ((FileSystemException) e).getFile();
      return new InvalidInputException(
          "%s cannot be written: %s: %s"
              .formatted(
                  target,
                  file,
                  e instanceof AccessDeniedException ? "permission denied" : "it exists already"),
          e);
    }
    return new LatheException(
        LatheException.FAILED,
        "writing %s failed: %s; nothing is left of it".formatted(target, IoReason.of(e)),
        e);
  }
}
