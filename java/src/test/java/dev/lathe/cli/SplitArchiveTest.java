package dev.lathe.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * scripts/split-archive: parts that make the whole again, and a part that was damaged is refused.
 */
class SplitArchiveTest {
  private static final Path SCRIPT =
      Path.of(System.getProperty("lathe.root")).toAbsolutePath().resolve("scripts/split-archive");

  @TempDir private Path folder;
  private byte[] content;

  @BeforeEach
  void split() throws Exception {
    content = new byte[2500];
    new Random(1).nextBytes(content); // does not compress
    Files.createDirectories(folder.resolve("tree"));
    Files.write(folder.resolve("tree/file"), content);
    run(folder, 0, "tar", "-cJf", "tree.tar.xz", "tree");
    run(folder, 0, SCRIPT.toString(), "tree.tar.xz", "1K");
  }

  @Test
  void partsMakeTheWholeAgain() throws Exception {
    assertThat(folder.resolve("tree.tar.xz")).doesNotExist();
    assertThat(folder.resolve("tree.tar.xz.part-00")).hasSize(1024);
    assertThat(folder.resolve("tree.tar.xz.part-02")).exists();
    Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
    assertThat(run(elsewhere, 0, folder.resolve("tree.join.sh").toString()))
        .contains("unpacked: " + elsewhere + "/tree");
    assertThat(elsewhere.resolve("tree/file")).hasBinaryContent(content);
  }

  @Test
  void damagedOrMissingPartIsNamedAndNothingIsUnpacked() throws Exception {
    Path part = folder.resolve("tree.tar.xz.part-01");
    byte[] bytes = Files.readAllBytes(part);
    bytes[500] ^= 1;
    Files.write(part, bytes);
    Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
    String join = folder.resolve("tree.join.sh").toString();
    assertThat(run(elsewhere, 1, join)).contains("tree.tar.xz.part-01: FAILED");
    Files.delete(part);
    assertThat(run(elsewhere, 1, join)).contains("tree.tar.xz.part-01");
    assertThat(elsewhere).isEmptyDirectory();
  }

  private static String run(Path folder, int expected, String... command)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(List.of(command))
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .start();
    String output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(output).isEqualTo(expected);
    return output;
  }
}
