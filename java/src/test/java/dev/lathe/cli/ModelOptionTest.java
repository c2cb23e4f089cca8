package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelOptionTest {

  @ParameterizedTest
  @CsvSource({
    "embedded:mlp, brings one model of its own",
    "' ', must name a model",
    "/nowhere/at/all, there is no such folder"
  })
  void formsThatThisVersionDoesNotTakeAreNamed(String model, String complaint) {
    assertThatExceptionOfType(InvalidInputException.class)
        .isThrownBy(() -> ModelOption.resolve(model, "--model"))
        .withMessageContaining(model)
        .withMessageContaining(complaint);
  }

  @Test
  void withoutAModelItIsTheEmbeddedOne() {
    assertThat(new ModelOption().path()).isEqualTo(ModelOption.resolve("embedded", "--model"));
    assertThat(ModelOption.resolve("embedded", "--model").resolve("config.json")).exists();
  }

  /** The working folder has none of that name, which as a path would be found. */
  @Test
  void aPathIsNoName() {
    assertThatExceptionOfType(InvalidInputException.class)
        .isThrownBy(() -> ModelOption.resolve("./embedded", "--model"))
        .withMessageContaining("there is no such folder");
  }

  @Test
  void aSyntheticModelIsTakenByItsName() {
    assertThat(ModelOption.resolve("synthetic:llama-3.2-1b:int8", "--model"))
        .isEqualTo(Path.of("synthetic:llama-3.2-1b:int8"));
  }

  @Test
  void aFolderIsTaken(@TempDir Path folder) {
    assertThat(ModelOption.resolve(folder.toString(), "--model")).isEqualTo(folder);
  }
}
