package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;

/** Every failure becomes one line and the exit code that the design gives it. */
class FailuresTest {

  private static String report(Throwable failure, boolean debug, int expectedCode) {
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    int code = Failures.report(failure, new PrintStream(err, true, StandardCharsets.UTF_8), debug);
    String text = err.toString(StandardCharsets.UTF_8);
    assertThat(code).as(text).isEqualTo(expectedCode);
    assertThat(text).startsWith("lathe: ");
    if (!debug) {
      assertThat(text.lines()).hasSize(1);
    }
    return text;
  }

  @Test
  void aMessageForTheUserKeepsItsCode() {
    assertThat(report(new InvalidInputException("x.json: line 3"), false, 2))
        .isEqualToIgnoringNewLines("lathe: x.json: line 3");
    report(new BackendUnusableException("no driver"), false, 3);
    report(new LatheException(LatheException.TARGET_MISSED, "too slow"), false, 4);
    report(new LatheException(LatheException.FAILED, "kernel"), false, 1);
  }

  @Test
  void lineBreaksOfLibrariesDoNotBreakTheLine() {
    assertThat(report(new InvalidInputException("bad\n  at line 1\r\n"), false, 2))
        .isEqualToIgnoringNewLines("lathe: bad; at line 1");
  }

  @Test
  void aFullDiskSaysSo() {
    Throwable full =
        new UncheckedIOException(new FileSystemException("out/w", null, "No space left on device"));
    assertThat(report(full, false, 1)).contains("out/w", "the disk is full");
  }

  @Test
  void filesThatAreNotThereOrThereAlreadyAreWrongInput() {
    assertThat(report(new UncheckedIOException(new NoSuchFileException("a.txt")), false, 2))
        .contains("a.txt: there is no such file");
    assertThat(report(new UncheckedIOException(new FileAlreadyExistsException("out")), false, 2))
        .contains("out: exists already", "--out");
    assertThat(report(new UncheckedIOException(new IOException("broken")), false, 1))
        .contains("broken");
  }

  @Test
  void interruptionIsHeardThroughWhateverWrapsIt() {
    report(new CancellationException("x"), false, 130);
    report(new UncheckedIOException(new ClosedByInterruptException()), false, 130);
    report(new LatheException(1, "cannot write", new ClosedByInterruptException()), false, 130);
  }

  @Test
  void outOfMemorySaysHowMuchThereIsAndWhatHelps() {
    assertThat(report(new OutOfMemoryError("Java heap space"), false, 1))
        .contains("out of memory", "Java heap space", "LATHE_JAVA_OPTS");
  }

  @Test
  void aLibraryThatDoesNotLoadPointsToTheDoctor() {
    assertThat(report(new UnsatisfiedLinkError("libx.so"), false, 1))
        .contains("libx.so", "lathe doctor");
  }

  @Test
  void anythingElseIsABugAndSaysHowToGetTheTrace() {
    assertThat(report(new IllegalStateException("oops"), false, 1))
        .contains("bug", "oops", "--debug");
  }

  @Test
  void debugPrintsTheTraceUnderTheLine() {
    assertThat(report(new IllegalStateException("oops"), true, 1)).contains("\tat ");
  }
}
