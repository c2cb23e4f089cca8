package dev.lathe.cli;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.EvalText;
import dev.lathe.measure.Quality;
import dev.lathe.train.EmbeddedData;
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
  @Mixin private CacheTypeOption cacheType;
  @Mixin private JsonOption output;

  @Option(
      names = "--text",
      paramLabel = "FILE",
      description =
          "UTF-8 text to predict. Default, for the embedded model and what was made from it: its"
              + " held-out text, in documents.")
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
      description =
          "The model to compare with: KL divergence, top-1 agreement, loss. Its keys and values are"
              + " kept as it asks for, whatever --kv-cache-type is.")
  private String base;

  @Override
  public Integer call() {
    OptionalInt most =
        maxDocuments == null
            ? OptionalInt.empty()
            : OptionalInt.of(HardwareOptions.atLeast("--max-documents", maxDocuments, 1));
    Path candidate = model.path();
    Optional<Path> basePath =
        Optional.ofNullable(base).map(given -> ModelOption.resolve(given, "--base"));
    EvalText.Options options;
    if (text == null) {
      if (separator != null) {
        throw new InvalidInputException(
            "--separator: belongs to a text, and none was given with --text");
      }
      EmbeddedData.HeldOut heldOut = heldOut(candidate);
      text = heldOut.text();
      options = new EvalText.Options(Optional.of(heldOut.separator()), most);
    } else {
      options = new EvalText.Options(Optional.ofNullable(separator), most);
    }
    try (OpenModel open = OpenModel.load(candidate, hardware, cacheType);
        Progress progress = new Progress(lathe.console())) {
      EvalOutput result = measure(open, basePath, options, progress);
      if (output.json) {
        Json.print(result.json().put("kv_cache_type", open.cacheType()), lathe.console().out());
      } else {
        result.print(lathe.console().out());
      }
    }
    return 0;
  }

  /** Found before the weights are read. */
  private static EmbeddedData.HeldOut heldOut(Path model) {
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      return EmbeddedData.heldOut(checkpoint);
    }
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
      return new EvalOutput(quality, text, cut.cut(), open.backendName(), open.reason());
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
      return new EvalOutput(quality, text, cut.cut(), open.backendName(), open.reason());
    }
  }
}
