package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

class ModelOptionTest {

  @ParameterizedTest
  @CsvSource({
    "embedded, brings no model of its own",
    "embedded:mlp, brings no model of its own",
    "/nowhere/at/all, there is no such folder"
  })
  void formsThatThisVersionDoesNotTakeAreNamed(String model, String complaint) {
    assertThatExceptionOfType(InvalidInputException.class)
        .isThrownBy(() -> ModelOption.resolve(model, "--model"))
        .withMessageContaining(model)
        .withMessageContaining(complaint);
  }

  @ParameterizedTest
  @NullSource
  @ValueSource(strings = {"", " "})
  void withoutAModelTheMessageSaysWhatOneIs(String model) {
    assertThatExceptionOfType(InvalidInputException.class)
        .isThrownBy(() -> ModelOption.resolve(model, "--model"))
        .withMessageContaining("--model FOLDER")
        .withMessageContaining("config.json");
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
