package dev.lathe.cli;

import dev.lathe.backend.Backend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.measure.BuildVersion;
import dev.lathe.measure.DecodeSteps;
import dev.lathe.measure.Fingerprint;
import dev.lathe.measure.Machine;
import dev.lathe.measure.ProfileResult;
import dev.lathe.measure.Profiled;
import dev.lathe.measure.Profiler;
import dev.lathe.measure.Ridge;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.RunJson;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import tools.jackson.databind.node.ObjectNode;

/** Where a model's time, memory and arithmetic go. */
@Command(
    name = "profile",
    description =
        "Shows where a model's time, memory and arithmetic go, what holds it back, and what to do"
            + " about it.",
    mixinStandardHelpOptions = true)
final class ProfileCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private HardwareOptions hardware;
  @Mixin private CacheTypeOption cacheType;
  @Mixin private JsonOption output;

  @Option(
      names = "--prompt-tokens",
      paramLabel = "N",
      description = "Length of the prompt. Default: half the context, 128 at most.")
  private Integer promptTokens;

  @Option(
      names = "--max-tokens",
      paramLabel = "N",
      description = "Tokens to decode after it. Default: as many as fit, 32 at most.")
  private Integer decodeTokens;

  @Option(
      names = "--batch",
      defaultValue = "1",
      paramLabel = "N",
      description = "Sequences side by side. Default: ${DEFAULT-VALUE}.")
  private int batch;

  @Option(
      names = "--repetitions",
      paramLabel = "N",
      description = "Of which medians are taken. Default: 5.")
  private Integer repetitions;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of the prompt's tokens. Default: ${DEFAULT-VALUE}.")
  private long seed;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "A new folder for run.json, samples.jsonl, results.json and trace.json, which"
              + " ui.perfetto.dev opens. Default: nothing is written.")
  private Path out;

  @Override
  public Integer call() {
    HardwareOptions.batch(batch);
    try (OpenModel open = OpenModel.load(model.path(), hardware, cacheType)) {
      Profiler.Options options = options(open);
      if (out == null) {
        print(open, measure(open, options).result());
        return 0;
      }
      // Made before anything is measured: a folder that can't be used says so at once.
      try (RunFolder folder = RunFolder.create(out, fingerprint(open, options))) {
        Measured measured = measure(open, options);
        measured.profiled().samples().forEach(folder::append);
        String what = "%s on %s".formatted(model.path(), open.opened().backend().device().name());
        folder.writeWhole("trace.json", measured.profiled().trace(measured.steps(), what));
        folder.results(json(open, measured.result()));
        print(open, measured.result());
      }
    }
    return 0;
  }

  private record Measured(Profiled profiled, Optional<DecodeSteps> steps) {
    ProfileResult result() {
      return new ProfileResult(profiled.profile(), steps);
    }
  }

  private Measured measure(OpenModel open, Profiler.Options options) {
    try (Progress progress = new Progress(lathe.console())) {
      Profiled profiled =
          Profiler.traced(
              open.decoder(),
              options,
              Ridge.measure(open.opened().backend(), open.decoder().weightBytes()),
              (done, total) -> progress.update("profile", done, total, "runs"));
      Optional<DecodeSteps> steps =
          DecodeSteps.measure(
              open.decoder(),
              open.tokenizer(),
              options,
              (done, total) -> progress.update("decode steps", done, total, "generations"));
      return new Measured(profiled, steps);
    }
  }

  private Profiler.Options options(OpenModel open) {
    Profiler.Options defaults =
        Profiler.Options.forContext(open.decoder().config().contextLength(), seed);
    return new Profiler.Options(
        given("--prompt-tokens", promptTokens, defaults.promptTokens()),
        given("--max-tokens", decodeTokens, defaults.decodeTokens()),
        batch,
        defaults.warmups(),
        given("--repetitions", repetitions, defaults.repetitions()),
        seed);
  }

  private static int given(String option, Integer value, int otherwise) {
    return value == null ? otherwise : HardwareOptions.atLeast(option, value, 1);
  }

  private Fingerprint fingerprint(OpenModel open, Profiler.Options options) {
    Backend backend = open.opened().backend();
    return new Fingerprint(
        "profile",
        model.path().toString(),
        open.checkpoint().hash(),
        RunJson.mapper().valueToTree(options),
        seed,
        backend.name(),
        open.reason(),
        backend.device(),
        backend.name().equals("cuda") ? CudaDriver.version() : Optional.empty(),
        Machine.here(),
        BuildVersion.running(),
        Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
  }

  private static ObjectNode json(OpenModel open, ProfileResult result) {
    return result.json().put("backend", open.backendName()).put("backend_reason", open.reason());
  }

  private void print(OpenModel open, ProfileResult result) {
    if (output.json) {
      Json.print(json(open, result), lathe.console().out());
    } else {
      new ProfileText(lathe.console().out()).print(result);
    }
  }
}
