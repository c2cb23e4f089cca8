package dev.lathe.optimize;

import dev.lathe.compress.LayerResult;
import dev.lathe.measure.Flops;
import dev.lathe.measure.Quality;
import dev.lathe.optimize.OptimizeRun.Trial;
import dev.lathe.optimize.SpeedTrial.Outcomes;
import dev.lathe.report.OptimizeResults.Check;
import dev.lathe.report.Stage;
import dev.lathe.report.Stage.Kind;
import dev.lathe.report.Stage.Layer;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;

/** Puts what was measured of a stage into its result. */
final class Stages {
  private final LoadedModel baseline;
  private final double f32Bytes;

  Stages(LoadedModel baseline) {
    this.baseline = baseline;
    this.f32Bytes = (double) Float.BYTES * Flops.params(baseline.decoder().weights());
  }

  /** The figures of a model, whatever is done with it. */
  private record Model(
      long bytes,
      OptionalLong residentBytes,
      OptionalLong kvBytesPerToken,
      Optional<Stage.Quality> quality,
      List<Layer> layers) {

    static Model of(LoadedModel model, Stage.Quality quality, List<LayerResult> layers) {
      return new Model(
          model.checkpoint().fileBytes(),
          OptionalLong.of(model.decoder().weightBytes()),
          OptionalLong.of(model.kvBytesPerToken()),
          Optional.of(quality),
          layers.stream().map(Stages::layer).toList());
    }

    /** The model of a stage that only changes how it is run. */
    static Model of(Stage accepted) {
      return new Model(
          accepted.bytes(),
          accepted.residentBytes(),
          accepted.kvBytesPerToken(),
          accepted.quality(),
          List.of());
    }
  }

  private record Title(String name, Kind kind, String what, boolean accepted, String reason) {}

  Stage baseline(Quality quality, Outcomes speed) {
    Stage.Quality found = quality(quality);
    return stage(
        new Title(
            OptimizeRun.BASELINE,
            Kind.BASELINE,
            "baseline",
            true,
            "what the others are held against"),
        Model.of(baseline, found, List.of()),
        1,
        false,
        Optional.of(speed),
        Optional.of(speed),
        OptionalDouble.empty());
  }

  Stage technique(
      Plan.Step step,
      StepWork.Applied applied,
      Gate.Decision decision,
      LoadedModel candidate,
      Stage.Quality quality,
      Optional<Trial> speed) {
    Stage stage =
        stage(
            new Title(
                step.name(),
                Kind.TECHNIQUE,
                applied.what(),
                decision.accepted(),
                decision.reason() + applied.note()),
            Model.of(candidate, quality, applied.layers()),
            1,
            false,
            speed.map(Trial::candidate),
            speed.map(Trial::baseline),
            figure(speed.map(Trial::ownSpeedup)));
    return applied.training().map(stage::with).orElse(stage);
  }

  /** A technique that can't be tried on the model: the figures are those of the accepted one. */
  Stage notApplicable(Stage accepted, Plan.Step step, String why) {
    return stage(
        new Title(step.name(), Kind.TECHNIQUE, step.technique().name(), false, "not tried: " + why),
        Model.of(accepted),
        1,
        false,
        Optional.empty(),
        Optional.empty(),
        OptionalDouble.empty());
  }

  Stage cached(Stage accepted, Trial speed, Check sameTokens) {
    double ratio = speed.ownSpeedup();
    String figures =
        "%.2f× the tokens/s without it; %s: %s"
            .formatted(ratio, sameTokens.name(), sameTokens.detail());
    return stage(
        new Title(
            OptimizeRun.KV_CACHE,
            Kind.KV_CACHE,
            "KV-cache",
            sameTokens.passed() && ratio > 1,
            figures),
        Model.of(accepted),
        1,
        true,
        Optional.of(speed.candidate()),
        Optional.of(speed.baseline()),
        OptionalDouble.of(ratio));
  }

  Stage batched(Stage accepted, String name, int sequences, Trial speed, Check sameTokens) {
    double ratio = speed.ownSpeedup();
    String figures =
        "%.2f× the tokens/s of one sequence; %s: %s"
            .formatted(ratio, sameTokens.name(), sameTokens.detail());
    return stage(
        new Title(
            name,
            Kind.BATCH,
            sequences + " sequences together",
            sameTokens.passed() && ratio > 1,
            figures),
        Model.of(accepted),
        sequences,
        true,
        Optional.of(speed.candidate()),
        Optional.of(speed.baseline()),
        OptionalDouble.of(ratio));
  }

  Stage notBatched(Stage accepted, String name, int sequences) {
    return stage(
        new Title(
            name,
            Kind.BATCH,
            sequences + " sequences together",
            false,
            "not tried: it needs the KV-cache, which was rejected"),
        Model.of(accepted),
        sequences,
        true,
        Optional.empty(),
        Optional.empty(),
        OptionalDouble.empty());
  }

  private Stage stage(
      Title title,
      Model model,
      int sequences,
      boolean cached,
      Optional<Outcomes> speed,
      Optional<Outcomes> besideBaseline,
      OptionalDouble ownSpeedup) {
    Optional<Double> before = besideBaseline.map(Outcomes::medianTokensPerSecond);
    Optional<Double> now = speed.map(Outcomes::medianTokensPerSecond);
    return new Stage(
        title.name(),
        title.kind(),
        title.what(),
        title.accepted(),
        title.reason(),
        model.bytes(),
        f32Bytes / model.bytes(),
        model.residentBytes(),
        model.kvBytesPerToken(),
        model.quality(),
        figure(speed.map(Outcomes::medianTokensPerSecond)),
        figure(speed.map(Outcomes::slowest)),
        figure(speed.map(Outcomes::fastest)),
        sequences,
        cached,
        figure(speed.map(Outcomes::ttftMillis)),
        speed.map(Outcomes::tpotMillis).orElse(OptionalDouble.empty()),
        figure(before),
        figure(before.flatMap(b -> now.map(n -> n / b))),
        ownSpeedup,
        speed.map(Outcomes::latency),
        model.layers());
  }

  private static OptionalDouble figure(Optional<Double> value) {
    return value.isPresent() ? OptionalDouble.of(value.get()) : OptionalDouble.empty();
  }

  static Stage.Quality quality(Quality quality) {
    Optional<Quality.Comparison> toBase = quality.comparison();
    OptionalDouble error = quality.nllStandardError();
    return new Stage.Quality(
        quality.perplexity(),
        // d exp(x) = exp(x) dx
        error.isPresent()
            ? OptionalDouble.of(quality.perplexity() * error.getAsDouble())
            : OptionalDouble.empty(),
        toBase.map(Quality.Comparison::lossPercent).orElse(0.0),
        toBase.flatMap(Quality.Comparison::lossPercentCi95),
        figure(toBase.map(Quality.Comparison::klMean)),
        figure(toBase.map(Quality.Comparison::top1Agreement)),
        quality.tokens());
  }

  private static Layer layer(LayerResult layer) {
    return new Layer(
        layer.name(),
        layer.format(),
        layer.bytesBefore(),
        layer.bytesAfter(),
        layer.relativeError(),
        layer.sparsity());
  }
}
