package dev.lathe.optimize;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import tools.jackson.databind.node.ObjectNode;

/**
 * What to try on a model, in order, and what it may cost.
 *
 * @param source the file it was read from, or {@code built in}
 * @param maxLossPercent largest increase of perplexity over the baseline's that is accepted
 * @param steps one technique each
 * @param targets what the result must reach
 * @param hash SHA-256 of the file as it was read
 */
public record Recipe(
    String name,
    String source,
    double maxLossPercent,
    List<Step> steps,
    Speed generation,
    Data evaluation,
    Cost cost,
    Map<Target, Double> targets,
    String hash) {
  public Recipe {
    steps = List.copyOf(steps);
    targets = Map.copyOf(targets);
  }

  /**
   * One technique with its parameters.
   *
   * @param where file, line and column, for messages
   */
  public record Step(String where, ObjectNode technique) {}

  /**
   * How generation is measured, and which of its stages are run.
   *
   * @param kvCache whether the KV-cache stage is run
   * @param batch sequences of the batching stage; 1 for none
   * @param tokens generated per sequence
   * @param repetitions of each measurement, after one that warms up
   * @param prompt text that generation starts from; begin-of-sequence alone where absent
   */
  public record Speed(
      boolean kvCache, int batch, int tokens, int repetitions, Optional<String> prompt) {}

  /**
   * Text to evaluate on.
   *
   * @param text relative to the recipe's folder where the recipe names it
   */
  public record Data(Optional<Path> text, Optional<String> separator, OptionalInt maxDocuments) {}

  public record Cost(OptionalDouble pricePerHour, String currency, OptionalDouble queriesPerDay) {}
}
