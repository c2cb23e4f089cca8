package dev.lathe.optimize;

import dev.lathe.report.OptimizeResults.Cost;
import dev.lathe.report.OptimizeResults.Formula;
import dev.lathe.report.OptimizeResults.Price;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/** What a machine's price per hour makes of measured tokens/s. Nothing is added for idle time. */
final class CostImpact {
  private static final double SECONDS_PER_HOUR = 3600;
  private static final double SECONDS_PER_DAY = 24 * SECONDS_PER_HOUR;
  private static final double HOURS_PER_YEAR = 365 * 24;

  private CostImpact() {}

  static final List<Formula> FORMULAS =
      List.of(
          new Formula("cost of a million tokens", "price per hour / 3600 / (tokens/s) × 10^6"),
          new Formula("tokens for one unit of money", "tokens/s × 3600 / price per hour"),
          new Formula(
              "cost of a year of the baseline's work",
              "price per hour × 8760 × baseline tokens/s / (tokens/s)"),
          new Formula(
              "machines for the queries",
              "queries a day × tokens a query / (86400 × tokens/s), not rounded up"),
          new Formula("cost of a year of the queries", "machines × price per hour × 8760"));

  /**
   * Prices of the speeds.
   *
   * @param before tokens/s of the baseline, one sequence
   * @param after tokens/s of one sequence with the KV-cache
   * @param batched tokens/s of the whole batch
   */
  static Cost of(
      double pricePerHour,
      String currency,
      OptionalDouble queriesPerDay,
      int tokensPerQuery,
      double before,
      OptionalDouble after,
      OptionalDouble batched) {
    Pricing pricing = new Pricing(pricePerHour, queriesPerDay, tokensPerQuery, before);
    return new Cost(
        pricePerHour,
        currency,
        queriesPerDay,
        tokensPerQuery,
        pricing.at(before),
        optional(after).map(pricing::at),
        optional(batched).map(pricing::at));
  }

  private static Optional<Double> optional(OptionalDouble value) {
    return value.isPresent() ? Optional.of(value.getAsDouble()) : Optional.empty();
  }

  private record Pricing(
      double pricePerHour, OptionalDouble queriesPerDay, int tokensPerQuery, double before) {

    Price at(double tokensPerSecond) {
      OptionalDouble machines =
          queriesPerDay.isPresent()
              ? OptionalDouble.of(
                  queriesPerDay.getAsDouble()
                      * tokensPerQuery
                      / (SECONDS_PER_DAY * tokensPerSecond))
              : OptionalDouble.empty();
      return new Price(
          tokensPerSecond,
          pricePerHour / SECONDS_PER_HOUR / tokensPerSecond * 1e6,
          tokensPerSecond * SECONDS_PER_HOUR / pricePerHour,
          pricePerHour * HOURS_PER_YEAR * before / tokensPerSecond,
          machines,
          machines.isPresent()
              ? OptionalDouble.of(machines.getAsDouble() * pricePerHour * HOURS_PER_YEAR)
              : OptionalDouble.empty());
    }
  }
}
