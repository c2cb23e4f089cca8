package dev.lathe.optimize;

import dev.lathe.report.OptimizeResults;
import java.nio.file.Path;

/**
 * @param runFolder holds {@code results.json}, {@code report.html}, {@code report.md}, {@code
 *     model/}
 * @param targetMet false where a target or a check of the final model failed: exit code 4
 */
public record OptimizeOutcome(OptimizeResults results, Path runFolder, boolean targetMet) {}
