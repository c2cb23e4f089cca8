package dev.lathe.report;

import dev.lathe.measure.RunJson;
import dev.lathe.report.OptimizeResults.Operation;
import dev.lathe.report.Stage.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * The figures that the charts draw, as {@code report.js} reads them. Only what was measured is in
 * it.
 */
record ChartData(
    List<Point> points,
    double maxLossPercent,
    List<Operations> operations,
    String operationsBefore,
    String operationsAfter,
    List<Speed> speeds,
    List<Curve> latencies) {

  record Point(String name, String verdict, long bytes, double perplexity, double lossPercent) {}

  record Operations(String name, OptionalDouble beforeMs, OptionalDouble afterMs) {}

  record Speed(
      String name,
      String verdict,
      double tokensPerSecond,
      OptionalDouble low,
      OptionalDouble high,
      OptionalDouble speedup) {}

  record Curve(String name, String verdict, List<Stage.Quantile> quantiles) {}

  static ChartData of(OptimizeResults results) {
    List<Point> points = new ArrayList<>();
    List<Speed> speeds = new ArrayList<>();
    List<Curve> curves = new ArrayList<>();
    for (Stage stage : results.stages()) {
      String verdict = Tables.verdict(stage);
      boolean changesModel = stage.kind() == Kind.BASELINE || stage.kind() == Kind.TECHNIQUE;
      stage
          .quality()
          .filter(q -> changesModel)
          .ifPresent(q ->
              points.add(
                  new Point(
                      stage.what(), verdict, stage.bytes(), q.perplexity(), q.lossPercent())));
      stage
          .tokensPerSecond()
          .ifPresent(tokens ->
              speeds.add(
                  new Speed(
                      stage.what(),
                      verdict,
                      tokens,
                      stage.tokensPerSecondLow(),
                      stage.tokensPerSecondHigh(),
                      stage.speedup())));
      stage
          .latency()
          .ifPresent(latency -> curves.add(new Curve(stage.what(), verdict, latency.quantiles())));
    }
    List<Operations> operations = new ArrayList<>();
    for (Map.Entry<String, Operation[]> entry : ProfileTables.beforeAndAfter(results).entrySet()) {
      operations.add(
          new Operations(
              entry.getKey(),
              ProfileTables.perToken(results.profileBefore(), entry.getValue()[0]),
              ProfileTables.perToken(results.profileAfter(), entry.getValue()[1])));
    }
    return new ChartData(
        points,
        results.recipe().maxLossPercent(),
        operations,
        results.profileBefore().map(OptimizeResults.Profile::what).orElse(""),
        results.profileAfter().map(OptimizeResults.Profile::what).orElse(""),
        speeds,
        curves);
  }

  /** JSON that can stand inside a script element: nothing in it can end the element. */
  String json() {
    return RunJson.line(this)
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029");
  }
}
