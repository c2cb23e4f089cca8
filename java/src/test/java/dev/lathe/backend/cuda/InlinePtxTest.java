package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * What the compiler is told of inline PTX, which no emulated GPU can see: instructions of a whole
 * warp are not moved into branches, and what touches shared memory stays on its side of a barrier.
 */
class InlinePtxTest {
  /** A statement, and the first instruction in it. */
  private static final Pattern STATEMENT =
      Pattern.compile("\\basm(\\s+volatile)?\\s*\\(\\s*\"([a-z_0-9.:]+)[^;]*?;[^;]*;");

  /** Pure functions of registers: these may be moved, merged and left out. */
  private static final List<String> PURE = List.of("cvt.", "createpolicy.");

  @Test
  void instructionsOfAWarpAreVolatile() throws IOException {
    String header = Files.readString(sources().resolve("common/ptx.cuh"));
    assertThat(STATEMENT.matcher(header).results().map(match -> match.group(2)))
        .as("what is looked at")
        .contains("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
        .contains("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16")
        .contains("cp.async.wait_group")
        .hasSize(count(header, "asm"));
    assertThat(wrong(header)).isEmpty();
  }

  @Test
  void canaryEachMistakeIsNamed() {
    assertThat(wrong("asm(\"mma.sync.aligned.m16n8k16 {%0};\" : \"+f\"(c[0]));"))
        .containsExactly("mma.sync.aligned.m16n8k16 is not volatile");
    assertThat(wrong("asm volatile(\"ldmatrix.sync.aligned %0, [%1];\" : \"=r\"(r));"))
        .containsExactly("ldmatrix.sync.aligned doesn't say that it touches memory");
    assertThat(wrong("asm volatile(\"cp.async.commit_group;\");"))
        .containsExactly("cp.async.commit_group doesn't say that it touches memory");
    assertThat(wrong("asm volatile(\"cp.async.commit_group;\" ::: \"memory\");")).isEmpty();
    assertThat(wrong("asm(\"cvt.rn.bf16x2.f32 %0, %1, %2;\" : \"=r\"(x));")).isEmpty();
  }

  /** One header has all of it, so that this and the emulated GPU's twins leave nothing out. */
  @Test
  void onlyOneHeaderHasInlinePtx() throws IOException {
    try (Stream<Path> files = Files.walk(sources())) {
      assertThat(
              files
                  .filter(file -> file.toString().matches(".*\\.cuh?"))
                  .filter(file -> count(read(file), "asm") > 0)
                  .map(file -> sources().relativize(file).toString()))
          .containsExactly("common/ptx.cuh");
    }
  }

  private static List<String> wrong(String source) {
    return STATEMENT
        .matcher(source)
        .results()
        .map(match -> {
          String instruction = match.group(2);
          boolean shared = instruction.startsWith("ldmatrix") || instruction.startsWith("cp.async");
          if (PURE.stream().anyMatch(instruction::startsWith)) {
            return "";
          }
          if (match.group(1) == null) {
            return instruction + " is not volatile";
          }
          return shared && !match.group().contains("\"memory\"")
              ? instruction + " doesn't say that it touches memory"
              : "";
        })
        .filter(text -> !text.isEmpty())
        .toList();
  }

  private static int count(String source, String word) {
    Matcher matcher = Pattern.compile("\\b" + word + "\\b").matcher(source);
    return (int) matcher.results().count();
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Path sources() {
    return Path.of(System.getProperty("lathe.root"), "cuda-kernels");
  }
}
