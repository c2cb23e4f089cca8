package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** {@code docs/metrics.md} prints the formulas that the code states, all of them. */
class MetricsDocumentTest {
  private static final Set<Class<?>> FIGURES =
      Set.of(
          double.class,
          long.class,
          int.class,
          double[].class,
          OptionalDouble.class,
          Optional.class);

  /** Helpers that are figures of many requests or parts of a formula, no metrics of their own. */
  private static final Set<String> NO_METRICS =
      Set.of("timesToFirstTokenMillis", "timesPerOutputTokenMillis", "studentT", "storedWeights");

  private static Path document() {
    return Path.of("../docs/metrics.md");
  }

  private static String row(Definition definition) {
    return "| %s | %s | %s |"
        .formatted(definition.name(), definition.unit(), definition.formula().replace("|", "\\|"));
  }

  @Test
  void everyFormulaIsInTheDocumentAsTheCodeStatesIt() throws IOException {
    String text = Files.readString(document());
    List<String> missing =
        Definition.all().stream()
            .map(MetricsDocumentTest::row)
            .filter(r -> !text.contains(r))
            .toList();
    assertThat(missing).as("rows that docs/metrics.md lacks").isEmpty();
    // The canary: a formula that is changed in the code only is not found.
    assertThat(text).doesNotContain(row(new Definition("TPOT", "ms", "(t[n] - sent) / n")));
  }

  @Test
  void theDocumentHasNoFormulaThatTheCodeLacks() throws IOException {
    List<String> known = Definition.all().stream().map(MetricsDocumentTest::row).toList();
    List<String> rows =
        Files.readAllLines(document()).stream()
            .filter(line -> line.startsWith("| ") && !line.startsWith("| metric |"))
            .toList();
    assertThat(rows).isNotEmpty().allSatisfy(r -> assertThat(known).contains(r));
  }

  @Test
  void everyFigureThatTheMetricClassesComputeHasAFormula() {
    List<String> undefined =
        Stream.of(Metrics.class, Statistics.class, Flops.class, Bytes.class)
            .flatMap(owner -> Arrays.stream(owner.getDeclaredMethods()))
            .filter(m -> Modifier.isPublic(m.getModifiers()) && !m.isSynthetic())
            .filter(m -> FIGURES.contains(m.getReturnType()))
            .filter(m -> !m.isAnnotationPresent(Metric.class))
            .filter(m -> !overloadsAMetric(m) && !NO_METRICS.contains(m.getName()))
            .map(Method::getName)
            .toList();
    assertThat(undefined).isEmpty();
    assertThat(Definition.all()).extracting(Definition::name).doesNotHaveDuplicates();
  }

  private static boolean overloadsAMetric(Method method) {
    return Arrays.stream(method.getDeclaringClass().getDeclaredMethods())
        .anyMatch(m -> m.getName().equals(method.getName()) && m.isAnnotationPresent(Metric.class));
  }
}
