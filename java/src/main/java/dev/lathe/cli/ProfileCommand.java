package dev.lathe.cli;

import dev.lathe.measure.Profile;
import dev.lathe.measure.Profiler;
import dev.lathe.measure.Ridge;
import dev.lathe.measure.RunJson;
import java.io.PrintStream;
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

  @Override
  public Integer call() {
    HardwareOptions.batch(batch);
    try (OpenModel open = OpenModel.load(model.path(), hardware)) {
      Profile profile = measure(open);
      if (output.json) {
        ObjectNode json = RunJson.mapper().valueToTree(profile);
        json.put("backend", open.backendName());
        json.put("backend_reason", open.reason());
        Json.print(json, lathe.console().out());
      } else {
        print(profile, lathe.console().out());
      }
    }
    return 0;
  }

  private Profile measure(OpenModel open) {
    Profiler.Options defaults =
        Profiler.Options.forContext(open.decoder().config().contextLength(), seed);
    Profiler.Options options =
        new Profiler.Options(
            given("--prompt-tokens", promptTokens, defaults.promptTokens()),
            given("--max-tokens", decodeTokens, defaults.decodeTokens()),
            batch,
            defaults.warmups(),
            given("--repetitions", repetitions, defaults.repetitions()),
            seed);
    try (Progress progress = new Progress(lathe.console())) {
      return Profiler.profile(
          open.decoder(),
          options,
          Ridge.measure(open.opened().backend(), open.decoder().weightBytes()),
          (done, total) -> progress.update("profile", done, total, "runs"));
    }
  }

  private static int given(String option, Integer value, int otherwise) {
    return value == null ? otherwise : HardwareOptions.atLeast(option, value, 1);
  }

  private static void print(Profile profile, PrintStream out) {
    out.printf(
        "%,d parameters; %,d bytes of weights, %,d of activations, %,d of KV-cache a token%n",
        profile.params(),
        profile.weightsBytes(),
        profile.activationBytes(),
        profile.kvBytesPerToken());
    out.printf(
        "ceilings: %.1f GB/s, %.1f GFLOP/s (%s), which meet at %.1f FLOP a byte%n",
        profile.ceilings().readBandwidthGbs(),
        profile.ceilings().peakGflops(),
        profile.ceilings().source(),
        profile.ridgeFlopsPerByte());
    for (Profile.Phase phase : profile.phases()) {
      out.printf(
          "%n%s: %,d tokens of %d sequences in %.3f ms (%.3f ms at the ceilings); %.2f GB/s,"
              + " %.2f GFLOP/s, %.2f FLOP a byte: %s%n",
          phase.name(),
          phase.tokens(),
          phase.sequences(),
          phase.timeMs(),
          phase.leastMs(),
          phase.gbs(),
          1e3 * phase.tflops(),
          phase.intensity(),
          word(phase.bound()));
      String row = "  %-20s %8s %10s %7s %14s %14s %8s %9s  %s%n";
      out.printf(row, "operation", "calls", "ms", "%", "FLOP", "bytes", "GB/s", "GFLOP/s", "bound");
      for (Profile.Operation op : profile.ops(phase.name())) {
        out.printf(
            row,
            op.name(),
            op.calls(),
            "%.3f".formatted(op.timeMs()),
            "%.1f".formatted(op.percent()),
            "%,d".formatted(op.flops()),
            "%,d".formatted(op.bytes()),
            "%.2f".formatted(op.gbs()),
            "%.2f".formatted(1e3 * op.tflops()),
            word(op.bound()));
      }
    }
    out.printf("%nbottleneck: %s%n", word(profile.bottleneck()));
    for (String advice : profile.advice()) {
      out.println("- " + advice);
    }
  }

  private static String word(Enum<?> bound) {
    return bound.name().toLowerCase(java.util.Locale.ROOT);
  }
}
