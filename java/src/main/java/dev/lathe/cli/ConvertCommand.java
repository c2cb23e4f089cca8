package dev.lathe.cli;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Conversion;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.compress.CompressionResult;
import dev.lathe.compress.LayerResult;
import dev.lathe.model.ModelConfig;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.LongConsumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

/** A checkpoint in another file format or element type. */
@Command(
    name = "convert",
    description = "Writes a model in another file format or element type.",
    mixinStandardHelpOptions = true)
final class ConvertCommand implements Callable<Integer> {
  private static final Logger log = LoggerFactory.getLogger(ConvertCommand.class);

  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private JsonOption output;

  @Option(
      names = "--format",
      required = true,
      paramLabel = "NAME",
      description = "gguf: one file; safetensors: a folder as Hugging Face lays them out.")
  private String format;

  @Option(
      names = "--dtype",
      paramLabel = "NAME",
      description =
          "f32, f16, bf16, or for GGUF q8_0: the type of all matrices. Without it each keeps its own.")
  private String dtype;

  @Option(
      names = {"-o", "--out"},
      required = true,
      paramLabel = "PATH",
      description = "The new file (name.gguf) or folder; must not exist.")
  private Path out;

  @Override
  public Integer call() {
    HardwareOptions.oneOf("--format", format, List.of("gguf", "safetensors"));
    if (dtype != null) {
      HardwareOptions.oneOf("--dtype", dtype, List.of("f32", "f16", "bf16", "q8_0"));
    }
    Optional<Conversion.Type> type =
        Optional.ofNullable(dtype)
            .map(name -> Conversion.Type.valueOf(name.toUpperCase(Locale.ROOT)));
    Conversion.Result result;
    long f32Bytes;
    Console console = lathe.console();
    try (Checkpoint in = Checkpoints.open(model.path());
        Progress progress = new Progress(console)) {
      f32Bytes = Compression.f32Bytes(in);
      if (format.equals("gguf")) {
        // What a configuration asks for and Lathe does not know has no key in that format.
        ModelConfig.parse(in.config(), in.path() + ": config.json");
      }
      LongConsumer done =
          bytes -> progress.update("converting", bytes >> 10, f32Bytes >> 10, "KiB");
      result =
          format.equals("gguf")
              ? Conversion.toGguf(in, out, type, Lineage.tool(), done)
              : Conversion.toSafetensors(in, out, type, Lineage.tool(), done);
    }
    result.notes().forEach(note -> log.warn("{}: {}", out, note));
    CompressionOutput told = CompressionOutput.of(compression(result), f32Bytes);
    if (output.json) {
      Json.print(told.json(), console.out());
    } else {
      told.print(console.out());
    }
    return 0;
  }

  private static CompressionResult compression(Conversion.Result result) {
    List<LayerResult> layers =
        result.layers().stream()
            .map(layer ->
                new LayerResult(
                    layer.name(),
                    layer.format(),
                    layer.bytesBefore(),
                    layer.bytesAfter(),
                    layer.error(),
                    0,
                    layer.note()))
            .toList();
    return new CompressionResult(result.out(), result.bytes(), layers);
  }
}
