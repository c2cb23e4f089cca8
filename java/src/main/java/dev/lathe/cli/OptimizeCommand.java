package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.measure.RunFolder;
import dev.lathe.optimize.OptimizeOutcome;
import dev.lathe.optimize.OptimizeRequest;
import dev.lathe.optimize.Optimizer;
import dev.lathe.optimize.Percent;
import dev.lathe.optimize.Target;
import java.nio.file.Path;
import java.time.Clock;
import java.time.ZoneId;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

/** The main job: measure, optimize, validate. */
@Command(
    name = "optimize",
    description =
        "Measures a model, tries one technique after another, keeps what costs less quality than"
            + " allowed, and reports.",
    mixinStandardHelpOptions = true)
final class OptimizeCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private HardwareOptions hardware;
  @Mixin private JsonOption output;

  @Parameters(
      index = "0",
      arity = "0..1",
      paramLabel = "MODEL",
      description = "The model, instead of --model. Default: embedded.")
  private String positional;

  @Option(
      names = "--recipe",
      defaultValue = "balanced",
      paramLabel = "R",
      description =
          "A YAML file, or conservative, balanced, aggressive. Default: ${DEFAULT-VALUE}.")
  private String recipe;

  @Option(
      names = "--max-loss",
      paramLabel = "P%",
      description =
          "Largest increase of perplexity over the baseline's that is accepted, \"2%%\" for one."
              + " Default: the recipe's.")
  private String maxLoss;

  @Option(
      names = "--target",
      paramLabel = "NAME=VALUE",
      description = "What the result must reach, else exit code 4; may be given several times.")
  private Map<String, Double> targets = new LinkedHashMap<>();

  @Option(
      names = "--text",
      paramLabel = "FILE",
      description =
          "Text to measure quality on. Default: the recipe's; for the embedded model and what was"
              + " made from it, its held-out text.")
  private Path text;

  @Option(
      names = "--train-text",
      paramLabel = "FILE",
      description =
          "Text to fine-tune on, where the recipe does; must not hold what quality is measured on.")
  private Path trainText;

  @Option(
      names = "--separator",
      paramLabel = "S",
      description = "What stands between the documents of the text, and of --train-text.")
  private String separator;

  @Option(
      names = "--max-documents",
      paramLabel = "N",
      description = "Measure on the first N documents only.")
  private Integer maxDocuments;

  @Option(
      names = "--price-per-hour",
      paramLabel = "X",
      description = "Of the machine: the report then says what the model costs to run.")
  private Double pricePerHour;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of everything that draws. Default: ${DEFAULT-VALUE}.")
  private long seed;

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Run folder; must not exist. Default: runs/optimize-MODEL-TIME.")
  private Path out;

  @Option(
      names = "--resume",
      description =
          "Go on with the unfinished run in --out; refused where there is none. Without it an"
              + " unfinished run of the same request is taken up too, and a new one is started where"
              + " there is none.")
  private boolean resume;

  @Override
  public Integer call() {
    OptimizeRequest request = request();
    OptimizeOutcome outcome;
    try (Progress progress = new Progress(lathe.console())) {
      outcome = new Optimizer(request, new ProgressLines(progress, lathe.console())).run();
    }
    OptimizeOutput result = new OptimizeOutput(outcome);
    if (output.json) {
      Json.print(result.json(), lathe.console().out());
    } else {
      result.print(lathe.console().out());
    }
    return outcome.targetMet() ? 0 : LatheException.TARGET_MISSED;
  }

  private OptimizeRequest request() {
    if (positional != null && model.isGiven()) {
      throw new InvalidInputException(
          "the model was given twice: as '%s' and with --model; one is enough"
              .formatted(positional));
    }
    Path folder = positional == null ? model.path() : ModelOption.resolve(positional, "MODEL");
    if (resume && out == null) {
      throw new InvalidInputException("--resume: --out must name the run to go on with");
    }
    return new OptimizeRequest(
        folder,
        recipe,
        maxLossPercent(),
        Optional.ofNullable(text),
        Optional.ofNullable(separator),
        maxDocuments == null
            ? OptionalInt.empty()
            : OptionalInt.of(HardwareOptions.atLeast("--max-documents", maxDocuments, 1)),
        hardware.backend(),
        hardware.threads(),
        hardware.cpuKernels(),
        seed,
        out == null
            ? RunFolder.defaultPath(
                "optimize",
                folder.toAbsolutePath().normalize().toString(),
                Clock.system(ZoneId.systemDefault()))
            : OutOption.requireNamed(out),
        resume,
        pricePerHour == null ? OptionalDouble.empty() : OptionalDouble.of(price()),
        checkedTargets(),
        Optional.ofNullable(trainText));
  }

  private OptionalDouble maxLossPercent() {
    if (maxLoss == null) {
      return OptionalDouble.empty();
    }
    return OptionalDouble.of(
        Percent.parse(maxLoss)
            .orElseThrow(() ->
                new InvalidInputException(
                    "--max-loss %s: must be a percentage such as 2%% or 0.5%%"
                        .formatted(maxLoss))));
  }

  private double price() {
    if (!(pricePerHour > 0) || Double.isInfinite(pricePerHour)) {
      throw new InvalidInputException(
          "--price-per-hour %s: must be above 0".formatted(pricePerHour));
    }
    return pricePerHour;
  }

  private Map<String, Double> checkedTargets() {
    for (Map.Entry<String, Double> target : targets.entrySet()) {
      if (Target.find(target.getKey()).isEmpty()) {
        throw new InvalidInputException(
            "--target %s: there are %s"
                .formatted(
                    target.getKey(),
                    Arrays.stream(Target.values())
                        .map(Target::key)
                        .collect(Collectors.joining(", "))));
      }
      if (!(target.getValue() > 0) || Double.isInfinite(target.getValue())) {
        throw new InvalidInputException(
            "--target %s=%s: must be above 0".formatted(target.getKey(), target.getValue()));
      }
    }
    return targets;
  }
}
