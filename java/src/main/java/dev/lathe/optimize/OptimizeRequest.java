package dev.lathe.optimize;

import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * What {@code optimize} was asked for. Everything that is present here wins over the recipe.
 *
 * @param model folder of the checkpoint to optimize
 * @param recipe a recipe file, or {@code conservative}, {@code balanced}, {@code aggressive}
 * @param maxLossPercent largest perplexity increase against the baseline that is accepted
 * @param text file to evaluate on; absent for the recipe's, or that of the embedded default
 * @param separator what stands between documents of {@code text}
 * @param maxDocuments evaluate the first so many documents only
 * @param backend {@code auto}, {@code cuda}, {@code cpu} or {@code reference}
 * @param threads CPU threads; 0 for what the machine has
 * @param cpuKernels {@code auto}, {@code native} or {@code nd4j}
 * @param out run folder; must not exist, unless it holds an unfinished run of the same request
 * @param resume true where {@code out} must hold a run already; an unfinished run of the same
 *     request is resumed either way
 * @param pricePerHour of one machine, in the recipe's currency
 * @param targets what the result must reach, by the names of {@link Target}
 * @param trainText file to fine-tune on, cut at the same separator; never the one to evaluate on
 */
public record OptimizeRequest(
    Path model,
    String recipe,
    OptionalDouble maxLossPercent,
    Optional<Path> text,
    Optional<String> separator,
    OptionalInt maxDocuments,
    String backend,
    int threads,
    String cpuKernels,
    long seed,
    Path out,
    boolean resume,
    OptionalDouble pricePerHour,
    Map<String, Double> targets,
    Optional<Path> trainText) {
  public OptimizeRequest {
    Objects.requireNonNull(model, "model");
    Objects.requireNonNull(recipe, "recipe");
    Objects.requireNonNull(backend, "backend");
    Objects.requireNonNull(cpuKernels, "cpuKernels");
    Objects.requireNonNull(out, "out");
    targets = Map.copyOf(targets);
  }
}
