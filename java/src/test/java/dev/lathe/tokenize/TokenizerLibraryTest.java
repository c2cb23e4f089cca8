package dev.lathe.tokenize;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Unpacking the native library on first use. */
class TokenizerLibraryTest {
  @TempDir Path folder;

  /** What the other processes run. */
  static final class FirstUse {
    private FirstUse() {}

    public static void main(String[] arguments) {
      String json =
          "{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 7}, \"unk_token\": \"a\"}}";
      try (NativeTokenizer tokenizer = new NativeTokenizer(json.getBytes(StandardCharsets.UTF_8))) {
        System.out.println(List.of(tokenizer.encode("a")[0]));
      } catch (dev.lathe.error.LatheException e) {
        System.out.println(e.getMessage());
        System.exit(e.exitCode());
      }
    }
  }

  private static Process start(Path cache, String... options) throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            FirstUse.class.getName());
    builder.command().addAll(1, List.of(options));
    builder.environment().put("XDG_CACHE_HOME", cache.toString());
    return builder.redirectErrorStream(true).start();
  }

  private static String output(Process process) throws IOException {
    return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
  }

  @Test
  void severalProcessesUnpackItAtOnce() throws Exception {
    List<Process> processes = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      processes.add(start(folder));
    }
    for (Process process : processes) {
      assertThat(output(process)).isEqualTo("[7]");
      assertThat(process.waitFor()).isZero();
    }
    try (Stream<Path> files = Files.walk(folder)) {
      assertThat(files.filter(Files::isRegularFile).map(f -> f.getFileName().toString()))
          .containsExactly("libtokenizers.so");
    }
  }

  @Test
  void aDamagedCopyIsReplaced() throws Exception {
    assertThat(output(start(folder))).isEqualTo("[7]");
    Path library;
    try (Stream<Path> files = Files.walk(folder)) {
      library = files.filter(Files::isRegularFile).findFirst().orElseThrow();
    }
    Files.writeString(library, "cut off");
    assertThat(output(start(folder))).isEqualTo("[7]");
  }

  @Test
  void aCacheThatCannotBeWrittenIsOneWarning() throws Exception {
    Path file = Files.writeString(folder.resolve("file"), "no folder");
    Path own = Files.createDirectory(folder.resolve("own"));
    Process process = start(file, "-Djava.io.tmpdir=" + own);
    List<String> lines = output(process).lines().toList();
    assertThat(lines).hasSize(2);
    assertThat(lines.getFirst())
        .contains(file + "/lathe cannot be written", "for this run only", "XDG_CACHE_HOME");
    assertThat(lines.getLast()).isEqualTo("[7]");
    assertThat(own).as("what is left of it").isEmptyDirectory();
  }

  @Test
  void whereNothingCanBeWrittenThatIsOneMessage() throws Exception {
    Path file = Files.writeString(folder.resolve("file"), "no folder");
    // Nobody makes a folder there, not even root.
    Process process = start(file, "-Djava.io.tmpdir=/proc");
    assertThat(output(process))
        .startsWith("the tokenizer library cannot be loaded: ")
        .contains(file.toString(), "XDG_CACHE_HOME")
        .doesNotContain("\n");
    assertThat(process.waitFor()).isEqualTo(1);
  }
}
