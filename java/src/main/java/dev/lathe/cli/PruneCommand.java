package dev.lathe.cli;

import dev.lathe.compress.MagnitudePrune;
import dev.lathe.compress.Scope;
import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

/** A checkpoint without the weights that matter least. */
@Command(
    name = "prune",
    description = "Removes the weights that matter least, so that the file shrinks.",
    mixinStandardHelpOptions = true)
final class PruneCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private JsonOption output;

  @Option(
      names = "--pattern",
      defaultValue = "unstructured",
      paramLabel = "NAME",
      description =
          "unstructured: any weight may go; stored as bitmap and values. Default: ${DEFAULT-VALUE}.")
  private String pattern;

  @Option(
      names = "--method",
      defaultValue = "magnitude",
      paramLabel = "NAME",
      description = "magnitude: the smallest go. Default: ${DEFAULT-VALUE}.")
  private String method;

  @Option(
      names = "--sparsity",
      required = true,
      paramLabel = "S",
      description = "Share of the weights that go, above 0 and below 1.")
  private double sparsity;

  @Option(
      names = "--scope",
      defaultValue = "layer",
      paramLabel = "NAME",
      description =
          "layer: this share of each matrix; global: of all together, wherever the smallest are."
              + " Default: ${DEFAULT-VALUE}.")
  private String scope;

  @Option(
      names = "--embedding",
      description = "Prune embedding and head too; otherwise only linear layers are.")
  private boolean embedding;

  @Option(
      names = {"-o", "--out"},
      required = true,
      paramLabel = "DIR",
      description = "Folder for the new checkpoint; must not exist.")
  private Path out;

  @Override
  public Integer call() {
    Exists.require("--pattern", pattern, List.of("unstructured"));
    Exists.require("--method", method, List.of("magnitude"));
    HardwareOptions.oneOf("--scope", scope, List.of("layer", "global"));
    if (!(sparsity > 0 && sparsity < 1)) {
      throw new InvalidInputException(
          "--sparsity %s: must be above 0 and below 1; 0.5 removes half of the weights"
              .formatted(sparsity));
    }
    Scope where = scope.equals("global") ? Scope.GLOBAL : Scope.LAYER;
    Compression.run(
        new MagnitudePrune(sparsity, where, embedding), model.path(), out, output, lathe.console());
    return 0;
  }
}
