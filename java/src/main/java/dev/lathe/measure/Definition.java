package dev.lathe.measure;

import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A metric's name, unit and formula, for reports to print. */
public record Definition(String name, String unit, String formula) {

  /** Of every metric that Lathe computes, by name. */
  public static List<Definition> all() {
    return Stream.of(
            Metrics.class,
            Statistics.class,
            Flops.class,
            Bytes.class,
            KernelTimes.class,
            HostGap.class,
            QualityMath.class)
        .flatMap(owner -> Arrays.stream(owner.getDeclaredMethods()))
        .filter(method -> method.isAnnotationPresent(Metric.class))
        .map(Definition::of)
        .sorted(Comparator.comparing(Definition::name))
        .toList();
  }

  private static Definition of(Method method) {
    Metric metric = method.getAnnotation(Metric.class);
    return new Definition(metric.name(), metric.unit(), metric.formula());
  }
}
