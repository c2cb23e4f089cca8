package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where compute-sanitizer is found, and where something of its name isn't it. */
class ProgramsTest {
  private static final String NAME = "compute-sanitizer";

  @TempDir private Path folder;

  private Optional<String> find(String path, Optional<String> home) {
    return Programs.find(NAME, path, home, folder.resolve("local"));
  }

  private Path program(String place) throws Exception {
    Path file = folder.resolve(place).resolve(NAME);
    Files.createDirectories(file.getParent());
    Files.createFile(file);
    assertThat(file.toFile().setExecutable(true)).isTrue();
    return file;
  }

  @Test
  void newestToolkitIsTakenAndPathAndHomeComeFirst() throws Exception {
    assertThat(find("", Optional.empty())).isEmpty();
    program("local/cuda-9.2/bin");
    program("local/cuda-12.10/bin");
    Path newest = program("local/cuda-13.0/bin");
    program("local/cuda-old/bin");
    // Toolkits have a folder of this name with the program in it.
    Files.createDirectories(folder.resolve("local/cuda-13.1/bin").resolve(NAME));
    assertThat(find("", Optional.empty())).contains(newest.toString());
    Path inner = program("local/cuda-13.2/compute-sanitizer");
    assertThat(find("", Optional.empty())).contains(inner.toString());
    Path home = program("home/bin");
    assertThat(find("", Optional.of(folder.resolve("home").toString()))).contains(home.toString());
    Path path = program("path");
    assertThat(find("/none:" + folder.resolve("path"), Optional.of("/none")))
        .contains(path.toString());
  }
}
