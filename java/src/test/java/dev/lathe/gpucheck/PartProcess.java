package dev.lathe.gpucheck;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A part's process, whose output is read as it comes. Closing ends it and all that it started. */
final class PartProcess implements AutoCloseable {
  private static final int TAIL_CHARACTERS = 4000;

  private final Process process;
  private final Path err;
  private final BlockingQueue<Optional<String>> lines = new LinkedBlockingQueue<>();
  private final Thread hook = new Thread(this::kill, "end of a part");
  private final long startNanos = System.nanoTime();

  /**
   * @param command words in which {@link PartRunner#SCRATCH} stands for {@code scratch}
   * @throws IOException if it can't be started
   */
  PartProcess(List<String> command, Map<String, String> environment, Path scratch)
      throws IOException {
    err = scratch.resolve("stderr");
    ProcessBuilder builder =
        new ProcessBuilder(
                command.stream()
                    .map(word -> word.replace(PartRunner.SCRATCH, scratch.toString()))
                    .toList())
            .redirectError(err.toFile());
    builder.environment().putAll(environment);
    process = builder.start();
    // Whoever ends this check ends what it measures: a forgotten process would keep the GPU busy.
    Runtime.getRuntime().addShutdownHook(hook);
    process.getOutputStream().close();
    Thread.ofPlatform().daemon().start(this::pump);
  }

  private void pump() {
    try (BufferedReader out =
        new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line = out.readLine(); line != null; line = out.readLine()) {
        lines.add(Optional.of(line));
      }
    } catch (IOException e) {
      // It was ended while it wrote; what came before has been read.
      lines.add(Optional.empty());
      return;
    }
    lines.add(Optional.empty());
  }

  /** What {@link #next} found. */
  record Next(String line, boolean ended, boolean timedOut) {}

  /** The next line of stdout, its end, or neither within this time. */
  Next next(Duration most) throws InterruptedException {
    Optional<String> line = lines.poll(Math.max(0, most.toMillis()), TimeUnit.MILLISECONDS);
    if (line == null) {
      return new Next("", false, true);
    }
    return new Next(line.orElse(""), line.isEmpty(), false);
  }

  /**
   * Its exit status, once {@link #next} has seen the end of stdout; -1 where it goes on without.
   */
  int exitStatus(Duration most) throws InterruptedException {
    return process.waitFor(Math.max(1, most.toMillis()), TimeUnit.MILLISECONDS)
        ? process.exitValue()
        : -1;
  }

  double seconds() {
    return (System.nanoTime() - startNanos) / 1e9;
  }

  String errors() throws IOException {
    return Files.readString(err);
  }

  static String tail(String text) {
    return text.length() <= TAIL_CHARACTERS
        ? text
        : text.substring(text.length() - TAIL_CHARACTERS);
  }

  private void kill() {
    List<ProcessHandle> children = new ArrayList<>(process.descendants().toList());
    process.destroyForcibly();
    children.forEach(ProcessHandle::destroyForcibly);
  }

  @Override
  public void close() {
    kill();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      return; // the hook is running: this check is being ended
    }
  }
}
