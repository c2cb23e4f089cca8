package dev.lathe.report;

import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * {@code results.json} of an optimize run, in snake case. Stages come in the order in which they
 * were tried, the baseline first.
 *
 * @param model folder of the accepted model, relative to the run folder
 * @param report the HTML report, relative to the run folder
 * @param targetMet every target and every check holds
 */
public record OptimizeResults(
    String model,
    String report,
    boolean targetMet,
    Subject source,
    Plan recipe,
    Evaluation evaluation,
    Generation generation,
    List<Stage> stages,
    List<Check> checks,
    Optional<Profile> profileBefore,
    Optional<Profile> profileAfter,
    Optional<Cost> cost,
    Conditions conditions,
    List<Formula> formulas) {
  public OptimizeResults {
    stages = List.copyOf(stages);
    checks = List.copyOf(checks);
    formulas = List.copyOf(formulas);
    if (stages.isEmpty() || stages.getFirst().kind() != Stage.Kind.BASELINE) {
      throw new IllegalArgumentException("the first stage is the baseline");
    }
  }

  /** The model that was optimized. */
  public record Subject(
      String path,
      String hash,
      String architecture,
      long params,
      int layers,
      int hidden,
      int vocabulary,
      int contextLength,
      long kvBytesPerToken) {}

  /**
   * @param source the file it was read from, or {@code built in}
   * @param steps techniques in words, in order
   */
  public record Plan(String name, String source, double maxLossPercent, List<String> steps) {
    public Plan {
      steps = List.copyOf(steps);
    }
  }

  /** Text that quality was measured on. */
  public record Evaluation(
      String text, String hash, Optional<String> separator, int documents, long tokens) {}

  /**
   * How speed was measured.
   *
   * @param tokens generated per sequence, greedy, end of sequence ignored
   */
  public record Generation(int promptTokens, int tokens, int repetitions) {}

  /** Something that must hold of the result: a target, or an equality that was tested. */
  public record Check(String name, boolean passed, String detail) {}

  /**
   * Where time went while a number of tokens was generated.
   *
   * @param what was profiled, in words
   * @param tokens generated while the profile was taken
   */
  public record Profile(
      String what, int tokens, List<Operation> ops, String bottleneck, List<String> advice) {
    public Profile {
      ops = List.copyOf(ops);
      advice = List.copyOf(advice);
    }
  }

  /** All calls of one operation together. */
  public record Operation(
      String name,
      long calls,
      double timeMs,
      OptionalLong flops,
      OptionalLong bytes,
      OptionalDouble gbs,
      OptionalDouble tflops,
      String bound) {}

  /**
   * @param pricePerHour of the machine
   * @param queriesPerDay absent where the recipe names none
   * @param tokensPerQuery generated tokens
   * @param after one sequence at a time, with the KV-cache
   * @param afterBatched with the whole batch; absent where no batch was measured
   */
  public record Cost(
      double pricePerHour,
      String currency,
      OptionalDouble queriesPerDay,
      int tokensPerQuery,
      Price before,
      Optional<Price> after,
      Optional<Price> afterBatched) {}

  /**
   * @param annualForBaselineWork what a year of the work that keeps one baseline machine busy costs
   * @param machines needed for the queries, not rounded
   * @param annualForQueries for the queries of the recipe, machines paid by the hour in use
   */
  public record Price(
      double tokensPerSecond,
      double perMillionTokens,
      double tokensPerUnit,
      double annualForBaselineWork,
      OptionalDouble machines,
      OptionalDouble annualForQueries) {}

  /** Everything that a repetition of the run would need to know. */
  public record Conditions(
      String tool,
      String commit,
      String machine,
      String operatingSystem,
      String java,
      String backend,
      String backendReason,
      String device,
      String deviceFeatures,
      OptionalLong deviceMemoryBytes,
      OptionalInt threads,
      String kernels,
      long seed,
      String started,
      String finished,
      int resumed) {}

  /** The formula behind a figure: the field uses one name for several numbers. */
  public record Formula(String name, String formula) {}

  /** The last accepted stage that changed the model: the baseline where nothing was accepted. */
  public Stage acceptedModel() {
    return stages.stream()
        .filter(stage -> stage.accepted())
        .filter(
            stage -> stage.kind() == Stage.Kind.TECHNIQUE || stage.kind() == Stage.Kind.BASELINE)
        .reduce((a, b) -> b)
        .orElseThrow();
  }

  public Stage baseline() {
    return stages.getFirst();
  }

  /** The stage of that kind, if it was run. */
  public Optional<Stage> stage(Stage.Kind kind) {
    return stages.stream().filter(stage -> stage.kind() == kind).findFirst();
  }
}
