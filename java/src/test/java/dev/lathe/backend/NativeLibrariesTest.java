package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class NativeLibrariesTest {
  @Test
  void whatWasBuiltIsFound() {
    assertThat(NativeLibraries.find("build.properties"))
        .hasValueSatisfying(file -> assertThat(file).exists().hasFileName("build.properties"));
  }

  @Test
  void whatIsMissingSaysWhy() {
    assertThat(NativeLibraries.find("cpu/no-such-library.so")).isEmpty();
    assertThatThrownBy(() -> NativeLibraries.locate("cpu", "cpu/no-such-library.so"))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("cpu/no-such-library.so is not available: ");
    assertThat(NativeLibraries.whyMissing("teapot")).contains("unknown to build.properties");
  }
}
