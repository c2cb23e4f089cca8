package dev.lathe.report;

import dev.lathe.report.Stage.Kind;
import dev.lathe.report.Stage.Latency;
import dev.lathe.report.Stage.Quality;
import dev.lathe.report.Table.Mark;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.function.DoubleFunction;
import java.util.function.Function;

/** The tables about what was measured. */
final class Tables {
  private Tables() {}

  static List<Table> all(OptimizeResults results) {
    List<Table> tables = new ArrayList<>();
    tables.add(comparison(results));
    tables.add(techniques(results));
    tables.add(qualities(results));
    TrainingTable.of(results).ifPresent(tables::add);
    tables.add(speeds(results));
    tables.add(latencies(results));
    tables.addAll(ProfileTables.all(results));
    ConditionTables.cost(results).ifPresent(tables::add);
    tables.add(ConditionTables.checks(results));
    tables.addAll(layers(results));
    tables.add(ConditionTables.conditions(results));
    tables.add(ConditionTables.formulas(results));
    return tables;
  }

  /** Baseline beside the optimized model; of batching only the throughput. */
  static Table comparison(OptimizeResults results) {
    Stage before = results.baseline();
    Stage model = results.acceptedModel();
    Stage run = results.stage(Kind.KV_CACHE).filter(Stage::accepted).orElse(model);
    Table.Builder table =
        Table.of(
                "comparison",
                "Baseline and optimized",
                "Optimized is the accepted model, generating with the KV-cache where that was"
                    + " accepted. A ratio above 1 is a gain.")
            .text("Figure")
            .numbers("Baseline", "Optimized", "Gain or change");
    table.row(
        "Weights as written",
        Figures.exactBytes(before.bytes()),
        Figures.exactBytes(model.bytes()),
        Figures.ratio((double) before.bytes() / model.bytes()));
    table.row(
        "F32 bytes ÷ bytes",
        Figures.number(before.compression()),
        Figures.number(model.compression()),
        "");
    if (before.residentBytes().isPresent() || model.residentBytes().isPresent()) {
      table.row(
          "Weights on the device",
          Figures.orNotMeasured(before.residentBytes(), b -> Figures.exactBytes((long) b)),
          Figures.orNotMeasured(model.residentBytes(), b -> Figures.exactBytes((long) b)),
          before.residentBytes().isPresent() && model.residentBytes().isPresent()
              ? Figures.ratio(
                  (double) before.residentBytes().getAsLong() / model.residentBytes().getAsLong())
              : Figures.NOT_MEASURED);
    }
    row(
        table,
        "KV-cache, a token",
        before,
        model,
        stage -> asDouble(stage.kvBytesPerToken()),
        bytes -> Figures.exactBytes((long) bytes),
        true);
    table.row(
        "Perplexity ± standard error",
        perplexity(before),
        perplexity(model),
        model.quality().map(q -> Figures.change(q.lossPercent())).orElse(Figures.NOT_MEASURED));
    table.row(
        "Tokens/s, one sequence",
        Figures.orNotMeasured(run.baselineTokensPerSecond(), Figures::number),
        Figures.orNotMeasured(run.tokensPerSecond(), Figures::number),
        Figures.orNotMeasured(run.speedup(), Figures::ratio));
    row(table, "Time to first token (TTFT)", before, run, Stage::ttftMs, Figures::millis, true);
    row(table, "Time per output token (TPOT)", before, run, Stage::tpotMs, Figures::millis, true);
    row(table, "Token latency p50", before, run, q(Latency::p50), Figures::millis, true);
    row(table, "Token latency p95", before, run, q(Latency::p95), Figures::millis, true);
    row(table, "Token latency p99", before, run, q(Latency::p99), Figures::millis, true);
    results
        .stage(Kind.BATCH)
        .filter(Stage::accepted)
        .ifPresent(batch ->
            row(
                table,
                "Tokens/s, %d sequences".formatted(batch.sequences()),
                null,
                batch,
                Stage::tokensPerSecond,
                Figures::number,
                false));
    return table.build();
  }

  private static OptionalDouble asDouble(OptionalLong value) {
    return value.isPresent() ? OptionalDouble.of(value.getAsLong()) : OptionalDouble.empty();
  }

  private static Function<Stage, OptionalDouble> q(Function<Latency, OptionalDouble> quantile) {
    return stage -> stage.latency().map(quantile).orElse(OptionalDouble.empty());
  }

  private static void row(
      Table.Builder table,
      String name,
      Stage before,
      Stage after,
      Function<Stage, OptionalDouble> figure,
      DoubleFunction<String> format,
      boolean lessIsBetter) {
    OptionalDouble was = before == null ? OptionalDouble.empty() : figure.apply(before);
    OptionalDouble is = figure.apply(after);
    String ratio = Figures.NOT_MEASURED;
    if (was.isPresent() && is.isPresent() && was.getAsDouble() > 0 && is.getAsDouble() > 0) {
      double gain = is.getAsDouble() / was.getAsDouble();
      ratio = Figures.ratio(lessIsBetter ? 1 / gain : gain);
    }
    table.row(name, Figures.orNotMeasured(was, format), Figures.orNotMeasured(is, format), ratio);
  }

  private static String perplexity(Stage stage) {
    return stage
        .quality()
        .map(q -> {
          OptionalDouble error = q.perplexityStandardError();
          String value = Figures.number(q.perplexity(), 5);
          return error.isPresent() ? value + " ± " + Figures.number(error.getAsDouble(), 2) : value;
        })
        .orElse(Figures.NOT_MEASURED);
  }

  /** Each stage with what it alone gained and cost: against the stage that it was put on top of. */
  static Table techniques(OptimizeResults results) {
    Table.Builder table =
        Table.of(
                "techniques",
                "Techniques, one at a time",
                "Own gain and cost are against the stages accepted before; speed and loss of the"
                    + " last columns against the baseline.")
            .text("Stage", "Verdict")
            .numbers("Own size gain", "Own speed gain", "Own loss", "Loss", "Speed-up")
            .text("Why");
    Stage under = null;
    for (Stage stage : results.stages()) {
      table.row(
          mark(stage),
          stage.what(),
          verdict(stage),
          under == null ? "" : Figures.ratio((double) under.bytes() / stage.bytes()),
          under == null ? "" : Figures.orNotMeasured(stage.ownSpeedup(), Figures::ratio),
          under == null ? "" : ownLoss(under, stage),
          stage.quality().map(q -> Figures.change(q.lossPercent())).orElse(Figures.NOT_MEASURED),
          Figures.orNotMeasured(stage.speedup(), Figures::ratio),
          stage.reason());
      under = under == null || stage.accepted() ? stage : under;
    }
    return table.build();
  }

  static OptionalDouble ratio(OptionalDouble of, OptionalDouble to) {
    return of.isPresent() && to.isPresent() && to.getAsDouble() > 0
        ? OptionalDouble.of(of.getAsDouble() / to.getAsDouble())
        : OptionalDouble.empty();
  }

  private static String ownLoss(Stage under, Stage stage) {
    if (stage.kind() != Kind.TECHNIQUE) {
      return stage.quality().isPresent() ? ownLoss(under.quality(), stage.quality()) : "same model";
    }
    return ownLoss(under.quality(), stage.quality());
  }

  private static String ownLoss(Optional<Quality> under, Optional<Quality> now) {
    return under.isPresent() && now.isPresent()
        ? Figures.change(100 * (now.get().perplexity() / under.get().perplexity() - 1))
        : Figures.NOT_MEASURED;
  }

  static String verdict(Stage stage) {
    return stage.kind() == Kind.BASELINE ? "baseline" : stage.accepted() ? "accepted" : "rejected";
  }

  private static Mark mark(Stage stage) {
    return stage.kind() == Kind.BASELINE
        ? Mark.PLAIN
        : stage.accepted() ? Mark.ACCEPTED : Mark.REJECTED;
  }

  private static Table qualities(OptimizeResults results) {
    Table.Builder table =
        Table.of(
                "quality",
                "Size and quality of every model tried",
                "Measured on the same documents; the interval of the loss is over documents, paired. KL"
                    + " and agreement compare each position with the"
                    + " baseline.")
            .text("Stage", "Verdict")
            .numbers(
                "Bytes",
                "F32 ÷ bytes",
                "KV bytes a token",
                "Perplexity",
                "Loss",
                "Loss, 95 %",
                "KL, nats",
                "Same top-1");
    for (Stage stage : results.stages()) {
      if (stage.kind() != Kind.BASELINE && stage.kind() != Kind.TECHNIQUE) {
        continue;
      }
      table.row(
          mark(stage),
          stage.what(),
          verdict(stage),
          Figures.count(stage.bytes()),
          Figures.number(stage.compression()),
          Figures.orNotMeasured(stage.kvBytesPerToken(), bytes -> Figures.count((long) bytes)),
          perplexity(stage),
          stage.quality().map(q -> Figures.change(q.lossPercent())).orElse(Figures.NOT_MEASURED),
          lossInterval(stage),
          toBaseline(stage, Quality::klMean, value -> Figures.number(value)),
          toBaseline(
              stage, Quality::top1Agreement, value -> Figures.number(100 * value, 4) + " %"));
    }
    return table.build();
  }

  private static String lossInterval(Stage stage) {
    if (stage.kind() == Kind.BASELINE) {
      return "";
    }
    return stage
        .quality()
        .flatMap(Quality::lossPercentCi95)
        .map(ci -> Figures.change(ci.low()) + " to " + Figures.change(ci.high()))
        .orElse(Figures.NOT_MEASURED);
  }

  private static String toBaseline(
      Stage stage, Function<Quality, OptionalDouble> figure, DoubleFunction<String> format) {
    if (stage.kind() == Kind.BASELINE) {
      return "";
    }
    return stage
        .quality()
        .map(q -> Figures.orNotMeasured(figure.apply(q), format))
        .orElse(Figures.NOT_MEASURED);
  }

  private static Table speeds(OptimizeResults results) {
    Table.Builder table =
        Table.of(
                "speed",
                "Tokens/s per stage",
                "Median of the repetitions, slowest and fastest beside it. The baseline is"
                    + " measured again in turns with each stage: a machine is not equally fast all the"
                    + " time. Without the cache each"
                    + " token computes the whole prefix again, with the same kernels.")
            .text("Stage", "KV-cache")
            .numbers(
                "Sequences",
                "Tokens/s",
                "Slowest",
                "Fastest",
                "Baseline in turns",
                "Speed-up",
                "TTFT",
                "TPOT");
    for (Stage stage : results.stages()) {
      table.row(
          mark(stage),
          stage.what(),
          stage.cached() ? "yes" : "no",
          Figures.count(stage.sequences()),
          Figures.orNotMeasured(stage.tokensPerSecond(), Figures::number),
          Figures.orNotMeasured(stage.tokensPerSecondLow(), Figures::number),
          Figures.orNotMeasured(stage.tokensPerSecondHigh(), Figures::number),
          Figures.orNotMeasured(stage.baselineTokensPerSecond(), Figures::number),
          Figures.orNotMeasured(stage.speedup(), Figures::ratio),
          Figures.orNotMeasured(stage.ttftMs(), Figures::millis),
          Figures.orNotMeasured(stage.tpotMs(), Figures::millis));
    }
    return table.build();
  }

  private static Table latencies(OptimizeResults results) {
    Table.Builder table =
        Table.of(
                "latency",
                "Latency of a token",
                "Time since the token before (ITL), over all sequences and repetitions. Percentiles that"
                    + " need more tokens than there are say so.")
            .text("Stage")
            .numbers("p50", "p90", "p95", "p99", "Longest", "Tokens");
    for (Stage stage : results.stages()) {
      Optional<Latency> latency = stage.latency();
      table.row(
          mark(stage),
          stage.what(),
          millis(latency, Latency::p50),
          millis(latency, Latency::p90),
          millis(latency, Latency::p95),
          millis(latency, Latency::p99),
          latency
              .filter(l -> !l.quantiles().isEmpty())
              .map(l -> Figures.millis(l.quantiles().getLast().ms()))
              .orElse(Figures.NOT_MEASURED),
          latency.map(l -> Figures.count(l.samples())).orElse(Figures.NOT_MEASURED));
    }
    return table.build();
  }

  private static String millis(
      Optional<Latency> latency, Function<Latency, OptionalDouble> figure) {
    return Figures.orNotMeasured(
        latency.map(figure).orElse(OptionalDouble.empty()), Figures::millis);
  }

  private static List<Table> layers(OptimizeResults results) {
    List<Table> tables = new ArrayList<>();
    for (Stage stage : results.stages()) {
      if (stage.layers().isEmpty()) {
        continue;
      }
      Table.Builder table =
          Table.of(
                  "layers-" + stage.name(),
                  "Matrices after: " + stage.what() + " (" + verdict(stage) + ")",
                  "Error is ‖after − before‖ ÷ ‖before‖, Frobenius norm.")
              .text("Matrix", "Format")
              .numbers("Bytes before", "Bytes after", "Error", "Zeros")
              .folded();
      for (Stage.Layer layer : stage.layers()) {
        table.row(
            layer.name(),
            layer.format(),
            Figures.count(layer.bytesBefore()),
            Figures.count(layer.bytesAfter()),
            Figures.number(layer.relativeError()),
            Figures.percent(100 * layer.sparsity()));
      }
      tables.add(table.build());
    }
    return tables;
  }
}
