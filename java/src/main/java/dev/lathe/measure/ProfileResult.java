package dev.lathe.measure;

import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import tools.jackson.databind.node.ObjectNode;

/**
 * A profile with what generation adds to it: the host's gap and its waits.
 *
 * @param steps absent where the backend records nothing: the CPU
 */
public record ProfileResult(Profile profile, Optional<DecodeSteps> steps) {

  /** The metric {@code host_gap_percent}; absent where nothing was replayed. */
  public OptionalDouble hostGapPercent() {
    return steps
        .flatMap(DecodeSteps::hostGap)
        .map(gap -> OptionalDouble.of(gap.percent()))
        .orElse(OptionalDouble.empty());
  }

  /** The keys of {@link Profile}, {@code host_gap_percent}, {@code host_gap} and {@code syncs}. */
  public ObjectNode json() {
    ObjectNode json = RunJson.mapper().valueToTree(profile);
    json.set("host_gap_percent", RunJson.mapper().valueToTree(hostGapPercent()));
    json.set("host_gap", RunJson.mapper().valueToTree(steps.flatMap(DecodeSteps::hostGap)));
    json.set(
        "syncs", RunJson.mapper().valueToTree(steps.map(DecodeSteps::syncs).orElse(List.of())));
    return json;
  }
}
