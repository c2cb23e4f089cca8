package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.Interruptible;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.json.JsonMapper;

/**
 * The packed jar, started through scripts/lathe as a user does. Runs after packaging: {@code mvn
 * verify}.
 */
@Tag("launcher")
class LauncherTest {
  private static final Path ROOT = Path.of(System.getProperty("lathe.root")).toAbsolutePath();

  @TempDir private Path folder;

  @BeforeEach
  void packed() {
    Path jar = ROOT.resolve("java/target/lathe.jar");
    Assumptions.assumeTrue(Files.isRegularFile(jar), "skipped: " + jar + " is not packed yet");
  }

  private record Ended(int code, String out, String err) {}

  private Ended lathe(List<String> arguments, String... environment)
      throws IOException, InterruptedException {
    return end(start(arguments, environment));
  }

  private Process start(List<String> arguments, String... environment) throws IOException {
    List<String> command = new ArrayList<>(List.of(ROOT.resolve("scripts/lathe").toString()));
    command.addAll(arguments);
    ProcessBuilder builder =
        new ProcessBuilder(Interruptible.command(command))
            .directory(folder.toFile())
            .redirectOutput(file("out"))
            .redirectError(file("err"));
    builder.environment().put("LATHE_BUILD", "never");
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    for (int i = 0; i < environment.length; i += 2) {
      builder.environment().put(environment[i], environment[i + 1]);
    }
    return builder.start();
  }

  private Ended end(Process process) throws IOException, InterruptedException {
    assertThat(process.waitFor(10, TimeUnit.MINUTES)).as("it ends").isTrue();
    return new Ended(
        process.exitValue(),
        Files.readString(file("out").toPath(), StandardCharsets.UTF_8),
        Files.readString(file("err").toPath(), StandardCharsets.UTF_8));
  }

  private File file(String name) {
    return folder.resolve(name).toFile();
  }

  @Test
  void doctorPrintsOneJsonObject() throws IOException, InterruptedException {
    Ended doctor = lathe(List.of("doctor", "--json"));
    assertThat(doctor.code()).as(doctor.err()).isZero();
    assertThat(JsonMapper.shared().readTree(doctor.out()).isObject()).isTrue();
  }

  @Test
  void wrongUsageEndsWithTwoAndOneLine() throws IOException, InterruptedException {
    Ended wrong = lathe(List.of("generate", "--model", "/nowhere/at/all"));
    assertThat(wrong.code()).isEqualTo(2);
    assertThat(wrong.out()).isEmpty();
    assertThat(wrong.err()).startsWith("lathe: ").contains("/nowhere/at/all").hasLineCount(1);
  }

  @Test
  void argumentsAreUtf8WhateverTheLocale() throws IOException, InterruptedException {
    Ended wrong = lathe(List.of("naïve-日本"), "LC_ALL", "C", "LANG", "C");
    assertThat(wrong.code()).isEqualTo(2);
    assertThat(wrong.err()).contains("naïve-日本");
  }

  @Test
  void aStartUpCacheThatDoesNotFitKeepsStdoutClean() throws IOException, InterruptedException {
    Ended version = lathe(List.of("--version"), "LATHE_JAVA_OPTS", "-XX:+UseParallelGC");
    assertThat(version.code()).as(version.err()).isZero();
    assertThat(version.out()).startsWith("lathe ");
  }

  @Test
  void ctrlCEndsWith130AndLeavesNothingHalfWritten() throws IOException, InterruptedException {
    SharedModel.assume();
    String model = SharedModel.MODEL.toAbsolutePath().toString();
    // Long enough that it cannot end by itself: 500 tokens, each with its whole prefix, in double.
    Process running =
        start(
            List.of(
                "generate",
                "--model",
                model,
                "--max-tokens",
                "500",
                "--ignore-eos",
                "--no-kv-cache",
                "--backend",
                "reference"));
    awaitText();
    assertThat(new ProcessBuilder("kill", "-INT", Long.toString(running.pid())).start().waitFor())
        .isZero();
    Ended ended = end(running);
    assertThat(ended.code()).as(ended.err()).isEqualTo(130);
    assertThat(ended.err()).contains("lathe: interrupted").doesNotContain("\tat ");
  }

  /** README's first command but for its recipe, from a folder that is not the checkout. */
  @Test
  void optimizeWithoutAModelEndsWithAReport() throws IOException, InterruptedException {
    // The default recipe trains for two minutes where two cores are free, for long where they are
    // not.
    Ended optimized = lathe(List.of("optimize", "--recipe", "conservative"));
    assertThat(optimized.code()).as(optimized.err()).isZero();
    assertThat(optimized.err()).contains("run folder: runs/optimize-embedded-");
    String last = optimized.out().lines().toList().getLast();
    assertThat(last).startsWith("report: runs/optimize-embedded-");
    Path report = folder.resolve(last.substring("report: ".length()));
    assertThat(Files.readString(report)).contains("</html>");
    assertThat(report.resolveSibling("model/model.safetensors")).isNotEmptyFile();
  }

  @Test
  void aFolderCalledAsTheEmbeddedModelIsNotHiddenSilently()
      throws IOException, InterruptedException {
    Files.createDirectory(folder.resolve("embedded"));
    Ended named = lathe(List.of("generate", "--model", "embedded", "--max-tokens", "2"));
    assertThat(named.code()).as(named.err()).isZero();
    assertThat(named.err()).contains("./embedded");
    Ended path = lathe(List.of("generate", "--model", "./embedded", "--max-tokens", "2"));
    assertThat(path.code()).isEqualTo(2);
    assertThat(path.err()).contains("no config.json");
  }

  /** The text streams: the first of it is there long before the last. */
  private void awaitText() throws InterruptedException {
    for (int i = 0; i < 1200 && file("out").length() == 0; i++) {
      TimeUnit.MILLISECONDS.sleep(50);
    }
    assertThat(file("out").length()).isPositive();
  }

  @Test
  void resultsThatDoNotFitAreAFailure() throws IOException, InterruptedException {
    Path full = Path.of("/dev/full");
    Assumptions.assumeTrue(Files.exists(full), "skipped: no /dev/full here");
    Process process =
        new ProcessBuilder("bash", "-c", "LATHE_BUILD=never scripts/lathe --help > /dev/full")
            .directory(ROOT.toFile())
            .redirectError(file("err"))
            .start();
    assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).isEqualTo(1);
    assertThat(Files.readString(file("err").toPath())).contains("could not be written to stdout");
  }
}
