package dev.lathe.report;

import dev.lathe.report.OptimizeResults.Operation;
import dev.lathe.report.OptimizeResults.Profile;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** The tables about where the time went, before and after, and what it says. */
final class ProfileTables {
  private ProfileTables() {}

  static List<Table> all(OptimizeResults results) {
    List<Table> tables = new ArrayList<>();
    operations(results).ifPresent(tables::add);
    Optional<Profile> last = results.profileAfter().or(results::profileBefore);
    last.ifPresent(profile -> tables.add(roofline(profile)));
    last.filter(profile -> !profile.advice().isEmpty())
        .ifPresent(profile -> tables.add(advice(profile)));
    return tables;
  }

  /** Operations of both profiles by name, the slowest of the baseline first. */
  static Map<String, Operation[]> beforeAndAfter(OptimizeResults results) {
    Map<String, Operation[]> ops = new LinkedHashMap<>();
    results
        .profileBefore()
        .ifPresent(profile ->
            profile.ops().stream()
                .sorted((a, b) -> Double.compare(b.timeMs(), a.timeMs()))
                .forEach(op -> ops.computeIfAbsent(op.name(), n -> new Operation[2])[0] = op));
    results
        .profileAfter()
        .ifPresent(profile ->
            profile
                .ops()
                .forEach(op -> ops.computeIfAbsent(op.name(), n -> new Operation[2])[1] = op));
    return ops;
  }

  private static Optional<Table> operations(OptimizeResults results) {
    Map<String, Operation[]> ops = beforeAndAfter(results);
    if (ops.isEmpty()) {
      return Optional.empty();
    }
    Table.Builder table =
        Table.of(
                "operations",
                "Time by operation, before and after",
                "Before: %s. After: %s. Times per generated token."
                    .formatted(
                        results.profileBefore().map(Profile::what).orElse(Figures.NOT_MEASURED),
                        results.profileAfter().map(Profile::what).orElse(Figures.NOT_MEASURED)))
            .text("Operation")
            .numbers("Before", "Share", "After", "Share", "Gain");
    double totalBefore = total(results.profileBefore());
    double totalAfter = total(results.profileAfter());
    ops.forEach((name, pair) -> {
      OptionalDouble was = perToken(results.profileBefore(), pair[0]);
      OptionalDouble is = perToken(results.profileAfter(), pair[1]);
      table.row(
          name,
          Figures.orNotMeasured(was, Figures::millis),
          share(was, totalBefore),
          Figures.orNotMeasured(is, Figures::millis),
          share(is, totalAfter),
          Figures.orNotMeasured(Tables.ratio(was, is), Figures::ratio));
    });
    return Optional.of(table.build());
  }

  static OptionalDouble perToken(Optional<Profile> profile, Operation op) {
    return profile.isPresent() && op != null
        ? OptionalDouble.of(op.timeMs() / profile.get().tokens())
        : OptionalDouble.empty();
  }

  private static double total(Optional<Profile> profile) {
    return profile
        .map(p -> p.ops().stream().mapToDouble(Operation::timeMs).sum() / p.tokens())
        .orElse(0.0);
  }

  private static String share(OptionalDouble part, double total) {
    return part.isPresent() && total > 0
        ? Figures.percent(100 * part.getAsDouble() / total)
        : Figures.NOT_MEASURED;
  }

  private static Table roofline(Profile profile) {
    Table.Builder table =
        Table.of(
                "roofline",
                "What bounds the operations now",
                "While generating with %s. Together they are %s."
                    .formatted(profile.what(), profile.bottleneck()))
            .text("Operation")
            .numbers("Calls", "Time", "FLOPs", "Bytes", "GB/s", "TFLOP/s")
            .text("Bound by");
    for (Operation op : profile.ops()) {
      table.row(
          op.name(),
          Figures.count(op.calls()),
          Figures.millis(op.timeMs()),
          op.flops().isPresent() ? Figures.count(op.flops().getAsLong()) : Figures.NOT_MEASURED,
          Figures.orNotMeasured(op.bytes(), Figures::bytes),
          Figures.orNotMeasured(op.gbs(), Figures::number),
          Figures.orNotMeasured(op.tflops(), Figures::number),
          op.bound());
    }
    return table.build();
  }

  private static Table advice(Profile profile) {
    Table.Builder table =
        Table.of(
                "advice",
                "What would help next",
                "Each with the most that it can gain, computed from the profile of "
                    + profile.what()
                    + ": a ceiling, not a promise.")
            .text("Phase", "Advice");
    for (String advice : profile.advice()) {
      int colon = advice.indexOf(": ");
      table.row(
          colon < 0 ? "" : advice.substring(0, colon),
          colon < 0 ? advice : advice.substring(colon + 2));
    }
    return table.build();
  }
}
