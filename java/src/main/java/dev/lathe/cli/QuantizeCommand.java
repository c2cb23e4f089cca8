package dev.lathe.cli;

import dev.lathe.compress.Technique;
import dev.lathe.compress.Techniques;
import dev.lathe.error.InvalidInputException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

/** A checkpoint with its matrices in fewer bits. */
@Command(
    name = "quantize",
    description = "Stores a model's matrices in fewer bits.",
    mixinStandardHelpOptions = true)
final class QuantizeCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private OutOption out;
  @Mixin private JsonOption output;

  @Option(
      names = "--scheme",
      defaultValue = "w8a16",
      paramLabel = "NAME",
      description =
          "w8a16: weights as INT8 with one scale a row, activations as they are. w8a8: the"
              + " activations of linear layers as INT8 too, with one scale a token. kv8: keys and"
              + " values as INT8, with one scale a token and head; weights as they are. Default:"
              + " ${DEFAULT-VALUE}.")
  private String scheme;

  @Option(
      names = "--method",
      defaultValue = "rtn",
      paramLabel = "NAME",
      description = "rtn: round to nearest. Default: ${DEFAULT-VALUE}.")
  private String method;

  @Option(names = "--symmetric", description = "Zero is the middle of the range. The default.")
  private boolean symmetric;

  @Option(
      names = "--asymmetric",
      description = "Each row's range is its own, with a zero point: finer where it is lopsided.")
  private boolean asymmetric;

  @Override
  public Integer call() {
    Exists.require("--scheme", scheme, Techniques.SCHEMES);
    Exists.require("--method", method, List.of("rtn"));
    if (symmetric && asymmetric) {
      throw new InvalidInputException("--symmetric and --asymmetric: only one of the two");
    }
    if (asymmetric && Techniques.isSymmetric(scheme)) {
      throw new InvalidInputException(
          "--asymmetric: %s is symmetric, it has no zero points".formatted(scheme));
    }
    Technique technique = Techniques.quantize(scheme, !asymmetric);
    Compression.run(technique, model.path(), out.path(), output, lathe.console());
    return 0;
  }
}
