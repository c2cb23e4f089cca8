package dev.lathe;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Each floor calls only those below it, and a class that does not is caught. */
class ArchitectureTest {
  private static final JavaClasses MAIN =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .importPackages("dev.lathe");

  @Test
  void floorsCallOnlyThoseBelow() {
    Floors.rule("dev.lathe").check(MAIN);
  }

  /**
   * A rule over classes that were not found holds for nothing: every source folder must be seen.
   */
  @Test
  void everyFloorWithSourcesWasLookedAt() throws IOException {
    Set<String> seen =
        MAIN.stream()
            .map(type -> Floors.packageOf("dev.lathe", type))
            .filter(name -> !name.isEmpty())
            .collect(Collectors.toCollection(TreeSet::new));
    assertThat(seen).containsExactlyElementsOf(floorsOnDisk());
    assertThat(seen).contains("cli", "backend", "checkpoint", "tensor", "error");
  }

  private static Set<String> floorsOnDisk() throws IOException {
    Path root = Path.of(System.getProperty("lathe.root"), "java/src/main/java/dev/lathe");
    Set<String> floors = new TreeSet<>();
    try (Stream<Path> files = Files.walk(root)) {
      for (Path file : (Iterable<Path>) files::iterator) {
        Path relative = root.relativize(file);
        boolean source = file.toString().endsWith(".java") && !file.endsWith("package-info.java");
        if (relative.getNameCount() > 1 && source) {
          floors.add(relative.getName(0).toString());
        }
      }
    }
    return floors;
  }

  @Test
  void canaryACallUpwardsIsCaught() {
    assertCaught("tensor", "tensor calls model");
  }

  @Test
  void canaryACallWithinARowIsCaught() {
    assertCaught("compress", "compress calls generate");
  }

  @Test
  void canaryAPackageOnNoFloorIsCaught() {
    assertCaught("attic", "Stray lies on no floor");
  }

  /** The same house in small, under src/test, with the faults built in. */
  private static void assertCaught(String faulty, String complaint) {
    String root = "dev.lathe.canary";
    List<String> packages = List.of(root + "." + faulty, root + ".model", root + ".generate");
    JavaClasses canary = new ClassFileImporter().importPackages(packages);
    assertThat(canary).isNotEmpty();
    assertThatThrownBy(() -> Floors.rule(root).check(canary))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining(complaint)
        .hasMessageContaining("(1 times)");
  }
}
