package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class OptionsTest {
  private static final List<String> PARTS = List.of("tests.cuda", "bench.asked", "bench.rest");

  private static void check(String only) {
    Options.parse(List.of("--only", only), Path.of(".")).check(PARTS);
  }

  @Test
  void groupsAndPartsAreKnownAndOthersAreNot() {
    assertThatCode(() -> check("bench,tests.cuda,device")).doesNotThrowAnyException();
    assertThatThrownBy(() -> check("bench.askd"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("--only bench.askd is no part")
        .hasMessageContaining("bench.asked");
    assertThatThrownBy(() -> check("benches"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("is none of device, instructions");
  }
}
