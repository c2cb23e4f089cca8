package dev.lathe.files;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CalibrationDataTest {
  @TempDir private Path root;

  @Test
  void theCheckoutIsFoundFromItsClasses() {
    assertThat(CalibrationData.file("README.md", "the README"))
        .isEqualTo(
            Path.of(System.getProperty("lathe.root"), "calibration-data", "README.md").normalize());
  }

  @Test
  void itIsFoundBesideAJarToo() throws IOException {
    Path wanted = Files.createDirectories(root.resolve("calibration-data/embedded"));
    assertThat(CalibrationData.find(root.resolve("java/target/lathe.jar"), "embedded", "it"))
        .isEqualTo(wanted);
    assertThat(CalibrationData.find(root.resolve("lathe.jar"), "embedded", "it")).isEqualTo(wanted);
  }

  @Test
  void aMissingModelIsNamedWithItsPlace() throws IOException {
    Path data = Files.createDirectories(root.resolve("calibration-data"));
    assertMissing(root.resolve("java/target/lathe.jar"), "no " + data.resolve("embedded"));
  }

  @Test
  void aFolderOfThatNameFurtherUpIsSomeoneElses() throws IOException {
    Files.createDirectories(root.resolve("calibration-data/embedded"));
    Path jar = root.resolve("lathe/java/target/lathe.jar");
    assertMissing(jar, "no folder calibration-data above " + jar);
  }

  private static void assertMissing(Path jar, String where) {
    assertThatThrownBy(() -> CalibrationData.find(jar, "embedded", "the embedded model"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContainingAll("the embedded model", where, "--model");
  }
}
