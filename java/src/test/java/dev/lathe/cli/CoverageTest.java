package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** docs/coverage.md claims only what is there. */
class CoverageTest {
  private static final Path ROOT = Path.of(System.getProperty("lathe.root"));

  private final CoverageDocument document;

  CoverageTest() throws IOException {
    document = new CoverageDocument(ROOT);
  }

  @Test
  void everyNameExists() throws IOException {
    List<String> lines = Files.readAllLines(ROOT.resolve("docs/coverage.md"));
    assertThat(document.problems(lines)).isEmpty();
  }

  /** The last row as given, those before it not yet there. */
  private List<String> problemsOf(String by, String test) throws IOException {
    Stream<String> before =
        IntStream.range(1, CoverageDocument.LAST).mapToObj("| %d | x | not yet | |"::formatted);
    Stream<String> last =
        Stream.of("| %d | x | %s | %s |".formatted(CoverageDocument.LAST, by, test));
    return document.problems(Stream.concat(before, last).toList());
  }

  @Test
  void whatIsThereHasNoProblems() throws IOException {
    assertThat(problemsOf("`lathe doctor --json`, `Tensor.rows`", "`CoverageTest.everyNameExists`"))
        .isEmpty();
    assertThat(problemsOf("`scripts/lathe`", "`LauncherTest`")).isEmpty();
    assertThat(problemsOf("not yet", "")).isEmpty();
  }

  @Test
  void canaryAClassOrTestThatDoesNotExistIsFound() throws IOException {
    assertThat(problemsOf("`NoSuchClass`", "`CoverageTest`"))
        .containsExactly("row 169 names `NoSuchClass`, which does not exist");
    assertThat(problemsOf("`Tensor`", "`CoverageTest.noSuchMethod`"))
        .containsExactly("row 169 names `CoverageTest.noSuchMethod`, which does not exist");
  }

  @Test
  void canaryAVerbOrOptionThatDoesNotExistIsFound() throws IOException {
    assertThat(problemsOf("`lathe polish`", "`CoverageTest`")).hasSize(1);
    assertThat(problemsOf("`lathe doctor --shiny`", "`CoverageTest`")).hasSize(1);
  }

  @Test
  void canaryAClaimWithoutATestIsFound() throws IOException {
    assertThat(problemsOf("`Tensor`", "")).hasSize(1);
    assertThat(problemsOf("by hand", "`CoverageTest`")).hasSize(1);
    assertThat(problemsOf("not yet", "`CoverageTest`")).hasSize(1);
  }

  @Test
  void canaryMissingRowsAreFound() throws IOException {
    assertThat(document.problems(List.of("| 2 | x | not yet | |"))).hasSize(2);
  }
}
