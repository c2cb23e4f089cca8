package dev.lathe.checkpoint;

import java.util.List;

/**
 * How a checkpoint came about.
 *
 * @param steps oldest first; empty for a model that Lathe did not make
 */
public record Lineage(List<Step> steps) {
  public Lineage {
    steps = List.copyOf(steps);
  }

  public static final Lineage NONE = new Lineage(List.of());

  /**
   * @param parentHash {@link Checkpoint#hash()} of the model that the step was applied to; empty
   *     where a training made the model from nothing
   * @param technique what was done, with its parameters: {@code quantize w8a16 rtn per-channel}
   * @param tool {@code lathe 0.1.0}
   */
  public record Step(String parentHash, String technique, String tool) {}

  /** This Lathe, as the tool of a step. */
  public static String tool() {
    String version = Lineage.class.getPackage().getImplementationVersion();
    return "lathe " + (version == null ? "development" : version);
  }

  public Lineage with(Step step) {
    List<Step> longer = new java.util.ArrayList<>(steps);
    longer.add(step);
    return new Lineage(longer);
  }
}
