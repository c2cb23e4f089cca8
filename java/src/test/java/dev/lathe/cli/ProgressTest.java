package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;

class ProgressTest {
  private final ByteArrayOutputStream err = new ByteArrayOutputStream();
  private long now = -5_000_000_000L; // nanoTime may be negative

  private Progress progress(boolean terminal) {
    return new Progress(new PrintStream(err, true, StandardCharsets.UTF_8), terminal, () -> now);
  }

  private String shown() {
    return err.toString(StandardCharsets.UTF_8);
  }

  @Test
  void whatTakesLessThanTwoSecondsShowsNothing() {
    try (Progress progress = progress(true)) {
      progress.begin("eval");
      now += 1_900_000_000L;
      progress.update("eval", 1, 2, "documents");
    }
    assertThat(shown()).isEmpty();
  }

  @Test
  void withoutATerminalThereIsALineEveryTenSeconds() {
    try (Progress progress = progress(false)) {
      progress.begin("eval");
      for (int second = 1; second <= 20; second++) {
        now += 1_000_000_000L;
        progress.update("eval", second, 40, "documents");
      }
    }
    assertThat(shown().lines())
        .containsExactly(
            "eval: 2/40 documents (5%), 2 s, about 38 s left",
            "eval: 12/40 documents (30%), 12 s, about 28 s left");
  }

  @Test
  void onATerminalTheLineIsRewrittenAndRemoved() {
    try (Progress progress = progress(true)) {
      progress.begin("prune");
      now += 3_000_000_000L;
      progress.update("prune", 5, 0, "tensors");
    }
    String line = "prune: 5 tensors, 3 s";
    assertThat(shown()).isEqualTo("\r" + line + "\r" + " ".repeat(line.length()) + "\r");
  }

  @Test
  void ctrlCIsHeardHere() {
    try (Progress progress = progress(false)) {
      Thread.currentThread().interrupt();
      assertThatExceptionOfType(CancellationException.class)
          .isThrownBy(() -> progress.update("eval", 1, 2, "documents"));
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
  }
}
