package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.EvalText;
import dev.lathe.measure.Quality;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

/** How well a model predicts a text. */
@Command(
    name = "eval",
    description =
        "Measures how well a model predicts a text, and with --base how far it has moved from"
            + " another.",
    mixinStandardHelpOptions = true)
final class EvalCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private HardwareOptions hardware;
  @Mixin private JsonOption output;

  @Option(names = "--text", paramLabel = "FILE", description = "UTF-8 text to predict.")
  private Path text;

  @Option(
      names = "--separator",
      paramLabel = "S",
      description =
          "What stands between documents: each is stripped, starts with beginning-of-sequence, and"
              + " is cut to the context. Without: windows of the context length, no overlap.")
  private String separator;

  @Option(
      names = "--max-documents",
      paramLabel = "N",
      description = "The first N documents (or windows) only.")
  private Integer maxDocuments;

  @Option(
      names = "--base",
      paramLabel = "MODEL",
      description = "The model to compare with: KL divergence, top-1 agreement, loss.")
  private String base;

  @Override
  public Integer call() {
    if (text == null) {
      throw new InvalidInputException(
          "no text to predict was given, and this version has no held-out split of its own yet:"
              + " --text FILE");
    }
    EvalText.Options options =
        new EvalText.Options(
            Optional.ofNullable(separator),
            maxDocuments == null
                ? OptionalInt.empty()
                : OptionalInt.of(HardwareOptions.atLeast("--max-documents", maxDocuments, 1)));
    Path candidate = model.path();
    Optional<Path> basePath =
        Optional.ofNullable(base).map(given -> ModelOption.resolve(given, "--base"));
    try (OpenModel open = OpenModel.load(candidate, hardware);
        Progress progress = new Progress(lathe.console())) {
      EvalOutput result = measure(open, basePath, options, progress);
      if (output.json) {
        Json.print(result.json(), lathe.console().out());
      } else {
        result.print(lathe.console().out());
      }
    }
    return 0;
  }

  private EvalOutput measure(
      OpenModel open, Optional<Path> basePath, EvalText.Options options, Progress progress) {
    if (basePath.isEmpty()) {
      EvalText cut =
          EvalText.read(text, open.tokenizer(), open.decoder().config().contextLength(), options);
      Quality quality =
          Quality.of(
              open.decoder(),
              cut,
              (done, total) -> progress.update("eval", done, total, "documents"));
      return new EvalOutput(quality, cut.cut(), open.backendName(), open.reason());
    }
    try (OpenModel.Second second = open.beside(basePath.get())) {
      int context =
          Math.min(
              open.decoder().config().contextLength(), second.decoder().config().contextLength());
      EvalText cut = EvalText.read(text, open.tokenizer(), context, options);
      Quality quality =
          Quality.of(
              open.decoder(),
              second.decoder(),
              cut,
              (done, total) -> progress.update("eval", done, total, "documents"));
      return new EvalOutput(quality, cut.cut(), open.backendName(), open.reason());
    }
  }
}
