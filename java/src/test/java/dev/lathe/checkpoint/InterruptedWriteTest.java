package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever ends a writing process, nothing half-written has the final name. */
class InterruptedWriteTest {
  @TempDir Path folder;

  private List<String> names() throws IOException {
    try (Stream<Path> list = Files.list(folder)) {
      return list.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }

  private void write(Path model) {
    CheckpointWriter.create(model)
        .config(StrictJson.mapper().createObjectNode())
        .write(bytes -> {});
  }

  @Test
  void whatAKilledProcessLeavesIsRemovedByTheNextWriter() throws Exception {
    Path model = folder.resolve("model");
    Process process = WriterProcess.start(model);
    assertThat(names()).hasSize(2).noneMatch("model"::equals);
    process.destroyForcibly();
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).isEqualTo(128 + 9);
    assertThat(names()).hasSize(2).noneMatch("model"::equals);
    assertThat(folder.resolve("model")).doesNotExist();
    write(model);
    assertThat(names()).containsExactly("model");
    Checkpoints.open(model).close();
  }

  @Test
  void controlCLeavesNothing() throws Exception {
    Process process = WriterProcess.start(folder.resolve("model"));
    assertThat(names()).hasSize(2);
    signal(process, "-INT");
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).isEqualTo(128 + 2);
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void aWriterThatLivesIsLeftAlone() throws Exception {
    Path model = folder.resolve("model");
    Process process = WriterProcess.start(model);
    try {
      List<String> before = names();
      write(model);
      List<String> after = new ArrayList<>(before);
      after.add("model");
      assertThat(names()).containsExactlyInAnyOrderElementsOf(after);
    } finally {
      signal(process, "-INT");
      assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    }
    assertThat(names()).containsExactly("model");
  }

  @Test
  void aDiskThatFillsUpWhileWritingIsOneMessage() throws Exception {
    String script =
        "mount -t tmpfs -o size=8m tmpfs \"$1\" || exit 77; shift; out=$1; shift;"
            + " \"$@\"; code=$?; echo \"left: $(ls -A \"$out\")\"; exit $code";
    List<String> command =
        new ArrayList<>(List.of("unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"));
    Path disk = Files.createDirectory(folder.resolve("disk"));
    Path out = disk.resolve("out");
    command.addAll(List.of(disk.toString(), disk.toString()));
    command.addAll(
        WriterProcess.command(out.resolve("model").toString(), disk.resolve("fill").toString()));
    Assumptions.assumeTrue(
        Files.isExecutable(Path.of("/usr/bin/unshare")), "skipped: there is no unshare");
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    int code = process.waitFor();
    Assumptions.assumeTrue(
        code != 77 && !output.contains("unshare failed") && !output.contains("not permitted"),
        () -> "skipped: no small disk can be mounted here: " + output);
    assertThat(code).as(output).isEqualTo(1);
    List<String> lines = output.lines().toList();
    assertThat(lines).hasSize(2);
    assertThat(lines.get(0))
        .startsWith(out.resolve("model") + " cannot be written: the disk is full. It needs 2,097,")
        .endsWith("nothing is left of it");
    assertThat(lines.get(1)).isEqualTo("left: fill");
  }

  private static void signal(Process process, String signal) throws Exception {
    Process kill = new ProcessBuilder("kill", signal, Long.toString(process.pid())).start();
    assertThat(kill.waitFor()).isZero();
  }
}
