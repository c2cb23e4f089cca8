package dev.lathe.report;

import dev.lathe.report.OptimizeResults.Conditions;
import dev.lathe.report.OptimizeResults.Cost;
import dev.lathe.report.OptimizeResults.Price;
import dev.lathe.report.Table.Mark;
import java.util.Optional;
import java.util.function.Function;

/** The tables about what the figures mean: cost, checks, conditions, formulas. */
final class ConditionTables {
  private ConditionTables() {}

  static Optional<Table> cost(OptimizeResults results) {
    return results.cost().map(ConditionTables::cost);
  }

  private static Table cost(Cost cost) {
    Table.Builder table =
        Table.of(
                "cost",
                "Cost impact",
                "At %s an hour%s. Costs follow from the measured tokens/s alone: nothing is added for idle time."
                    .formatted(
                        Figures.money(cost.pricePerHour(), cost.currency()),
                        cost.queriesPerDay().isPresent()
                            ? ", %s queries a day of %s tokens"
                                .formatted(
                                    Figures.count(Math.round(cost.queriesPerDay().getAsDouble())),
                                    Figures.count(cost.tokensPerQuery()))
                            : ""))
            .text("Figure")
            .numbers("Before", "After, one sequence", "After, batched");
    row(table, cost, "Tokens/s", price -> Figures.number(price.tokensPerSecond()));
    row(
        table,
        cost,
        "A million tokens",
        price -> Figures.money(price.perMillionTokens(), cost.currency()));
    row(
        table,
        cost,
        "Tokens for 1 " + cost.currency(),
        price -> Figures.number(price.tokensPerUnit()));
    row(
        table,
        cost,
        "A year of what one baseline machine does",
        price -> Figures.money(price.annualForBaselineWork(), cost.currency()));
    row(
        table,
        cost,
        "Saved a year by that",
        price ->
            Figures.money(
                cost.before().annualForBaselineWork() - price.annualForBaselineWork(),
                cost.currency()));
    if (cost.queriesPerDay().isPresent()) {
      row(
          table,
          cost,
          "Machines for the queries",
          price -> Figures.orNotMeasured(price.machines(), Figures::number));
      row(
          table,
          cost,
          "A year of the queries",
          price ->
              Figures.orNotMeasured(
                  price.annualForQueries(), amount -> Figures.money(amount, cost.currency())));
    }
    return table.build();
  }

  private static void row(
      Table.Builder table, Cost cost, String name, Function<Price, String> figure) {
    table.row(
        name,
        figure.apply(cost.before()),
        cost.after().map(figure).orElse(Figures.NOT_MEASURED),
        cost.afterBatched().map(figure).orElse(Figures.NOT_MEASURED));
  }

  static Table checks(OptimizeResults results) {
    Table.Builder table =
        Table.of("checks", "Checks and targets", "What had to hold of the result.")
            .text("Check", "Holds", "Found");
    for (OptimizeResults.Check check : results.checks()) {
      table.row(
          check.passed() ? Mark.ACCEPTED : Mark.REJECTED,
          check.name(),
          check.passed() ? "yes" : "no",
          check.detail());
    }
    return table.build();
  }

  static Table conditions(OptimizeResults results) {
    Conditions c = results.conditions();
    Table.Builder table =
        Table.of("conditions", "Conditions", "What a repetition of this run has to know.")
            .text("What", "Value");
    OptimizeResults.Subject source = results.source();
    table
        .row("Model", source.path())
        .row("Model hash (SHA-256)", source.hash())
        .row(
            "Shape",
            "%s, %s parameters, %d layers, hidden %d, vocabulary %d, context %d, %s of KV-cache a token"
                .formatted(
                    source.architecture(),
                    Figures.count(source.params()),
                    source.layers(),
                    source.hidden(),
                    source.vocabulary(),
                    source.contextLength(),
                    Figures.bytes((double) source.kvBytesPerToken())))
        .row(
            "Recipe",
            "%s (%s): %s; perplexity may rise by %s"
                .formatted(
                    results.recipe().name(),
                    results.recipe().source(),
                    String.join(", then ", results.recipe().steps()),
                    Figures.percent(results.recipe().maxLossPercent())))
        .row(
            "Evaluated on",
            "%s, SHA-256 %s, %s documents%s, %s tokens scored"
                .formatted(
                    results.evaluation().text(),
                    results.evaluation().hash(),
                    Figures.count(results.evaluation().documents()),
                    results.evaluation().separator().map(s -> " between " + s).orElse(""),
                    Figures.count(results.evaluation().tokens())))
        .row(
            "Speed measured on",
            "%d prompt tokens, %d generated greedily past any end of sequence; warm-up, then %d repetitions in turns with what is compared"
                .formatted(
                    results.generation().promptTokens(),
                    results.generation().tokens(),
                    results.generation().repetitions()))
        .row("Backend", c.backend() + ", because " + c.backendReason())
        .row(
            "Device",
            c.device()
                + (c.deviceMemoryBytes().isPresent()
                    ? ", " + Figures.bytes((double) c.deviceMemoryBytes().getAsLong())
                    : "")
                + (c.deviceFeatures().isEmpty() ? "" : ", " + c.deviceFeatures()))
        .row("CPU kernels asked for", c.kernels())
        .row(
            "Threads",
            c.threads().isPresent() ? Figures.count(c.threads().getAsInt()) : "not applicable")
        .row("Machine", c.machine())
        .row("Operating system", c.operatingSystem())
        .row("Java", c.java())
        .row("Lathe", c.tool() + ", commit " + c.commit())
        .row("Seed", Long.toString(c.seed()))
        .row("Started", c.started())
        .row(
            "Finished",
            c.finished()
                + (c.resumed() == 0
                    ? ""
                    : ", resumed " + (c.resumed() == 1 ? "once" : c.resumed() + " times")));
    return table.build();
  }

  static Table formulas(OptimizeResults results) {
    Table.Builder table =
        Table.of(
                "formulas",
                "Formulas",
                "The field uses one name for several numbers: these are ours.")
            .text("Figure", "Formula");
    results.formulas().forEach(formula -> table.row(formula.name(), formula.formula()));
    return table.build();
  }
}
