package dev.lathe.measure;

import dev.lathe.backend.DeviceRecord.Kind;
import dev.lathe.backend.DeviceRecord.Launch;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * How long the device computes nothing between decode steps, because the host has not come that
 * far: it reads the token, prepares the next batch, uploads its numbers and launches. By the
 * device's clock, with marks around each replayed step and around each kernel outside of one, but
 * none inside.
 *
 * <pre>{@code
 * gap[n]     = start of step n+1 - end of step n - kernels between them (sampling)
 * period[n]  = start of step n+1 - start of step n
 * host_gap_percent = 100 * sum of gap / sum of period
 * }</pre>
 *
 * Copies count as gap: the device computes nothing meanwhile. So do the marks themselves.
 *
 * @param steps pairs of steps that followed one another, of which the second was replayed
 * @param percent of the time that is gap
 * @param gapMicros between two steps, median
 * @param stepMicros from the start of a step to the start of the next, median
 * @param runsPercent the same for each generation by itself: how much it varies
 */
public record HostGap(
    int steps, double percent, double gapMicros, double stepMicros, List<Double> runsPercent) {

  /** One pair of steps. */
  private record Pair(long gapNanos, long periodNanos) {}

  /**
   * Over one or several generations.
   *
   * @param runs of each generation what the device did, copies or not
   * @return empty if no two steps followed one another: nothing was replayed
   */
  static Optional<HostGap> of(List<List<Launch>> runs) {
    List<List<Pair>> pairs =
        runs.stream().map(HostGap::pairs).filter(found -> !found.isEmpty()).toList();
    if (pairs.isEmpty()) {
      return Optional.empty();
    }
    List<Pair> all = pairs.stream().flatMap(List::stream).toList();
    return Optional.of(
        new HostGap(
            all.size(),
            percent(all),
            Statistics.median(all.stream().mapToDouble(Pair::gapNanos).toArray()) / 1e3,
            Statistics.median(all.stream().mapToDouble(Pair::periodNanos).toArray()) / 1e3,
            pairs.stream().map(HostGap::percent).toList()));
  }

  @Metric(
      name = "host gap",
      unit = "%",
      formula =
          "100 * sum of gap[n] / sum of period[n] over decode steps, by the device's clock; gap[n] ="
              + " start of step n+1 - end of step n - kernels between them, period[n] = start of"
              + " step n+1 - start of step n; a step is one replay of a graph")
  private static double percent(List<Pair> pairs) {
    long gap = pairs.stream().mapToLong(Pair::gapNanos).sum();
    long period = pairs.stream().mapToLong(Pair::periodNanos).sum();
    return period == 0 ? 0 : 100.0 * gap / period;
  }

  /** A step that was captured just before it ran has the capture in front of it, and counts not. */
  private static List<Pair> pairs(List<Launch> launches) {
    List<Pair> pairs = new ArrayList<>();
    Launch step = null;
    long between = 0;
    for (Launch launch : launches) {
      boolean replayed = launch.kind() == Kind.REPLAYED;
      if (replayed || launch.kind() == Kind.CAPTURED) {
        if (step != null && replayed) {
          pairs.add(
              new Pair(
                  launch.startNanos() - step.endNanos() - between,
                  launch.startNanos() - step.startNanos()));
        }
        step = launch;
        between = 0;
      } else if (launch.computes()) {
        between += launch.nanos();
      }
    }
    return pairs;
  }
}
