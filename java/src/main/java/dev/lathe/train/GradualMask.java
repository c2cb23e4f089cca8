package dev.lathe.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Which weights are cut at each step of a training that prunes gradually.
 *
 * <p>As in the paper a weight that is cut keeps the value that it had, is left out of the forward
 * pass, and is not trained; when the mask is chosen anew it comes back with that value where it is
 * among the largest again. So a weight returns only where others have become smaller than it was.
 * What was 0 before the training stays 0.
 *
 * @see <a href="https://arxiv.org/abs/1710.01878">Zhu and Gupta 2017, section 3</a>
 */
final class GradualMask {
  private final Parameters parameters;
  private final PruningSchedule schedule;

  /** Matrices whose weights are compared with each other: each alone, or all together. */
  private final List<List<Parameters.Entry>> groups = new ArrayList<>();

  /** By the tensor's name; a bit says that the weight is cut. */
  private final Map<String, BitSet> cut = new LinkedHashMap<>();

  /** What the weights that are cut were, in the order of the parameters. */
  private final float[] dormant;

  private final double firstSparsity;

  /**
   * @param parameters as they are before the first step; zeros in matrices that the schedule does
   *     not name are held too
   */
  GradualMask(Parameters parameters, PruningSchedule schedule) {
    this.parameters = parameters;
    this.schedule = schedule;
    dormant = new float[parameters.count()];
    Masks.ofZeros(parameters).byTensor().forEach((name, zeros) -> cut.put(name, zeros));
    List<Parameters.Entry> pruned = new ArrayList<>();
    for (String module : schedule.modules()) {
      Parameters.Entry entry = parameters.entry(module + ".weight");
      if (entry == null || !entry.isMatrix()) {
        throw new IllegalArgumentException(module + " is no matrix of the model");
      }
      pruned.add(entry);
      cut.computeIfAbsent(entry.name(), _ -> new BitSet());
    }
    if (schedule.together()) {
      groups.add(pruned);
    } else {
      pruned.forEach(entry -> groups.add(List.of(entry)));
    }
    long weights = pruned.stream().mapToLong(Parameters.Entry::elements).sum();
    long zeros = pruned.stream().mapToLong(entry -> cut.get(entry.name()).cardinality()).sum();
    firstSparsity = (double) zeros / weights;
  }

  /** What is cut now; a view that follows {@link #before}. */
  Masks masks() {
    return Masks.of(cut);
  }

  /** To be called before each step: chooses the mask anew where the schedule says so. */
  void before(long step) {
    if (schedule.choosesAt(step)) {
      double sparsity = schedule.sparsityAt(step, firstSparsity);
      groups.forEach(group -> choose(group, sparsity));
    }
  }

  /** Of n weights the {@code round((1 - sparsity) n)} largest stay, of equals the earlier ones. */
  private void choose(List<Parameters.Entry> group, double sparsity) {
    int weights = group.stream().mapToInt(Parameters.Entry::elements).sum();
    float[] magnitudes = new float[weights];
    int next = 0;
    for (Parameters.Entry entry : group) {
      for (int i = 0; i < entry.elements(); i++) {
        magnitudes[next++] = magnitude(entry, i);
      }
    }
    float[] sorted = magnitudes.clone();
    Arrays.sort(sorted);
    int kept = Math.toIntExact(Math.round((1 - sparsity) * weights));
    float threshold = kept == 0 ? Float.POSITIVE_INFINITY : sorted[weights - kept];
    int equal = kept;
    for (int i = weights - 1; i >= 0 && sorted[i] > threshold; i--) {
      equal--;
    }
    next = 0;
    for (Parameters.Entry entry : group) {
      for (int i = 0; i < entry.elements(); i++) {
        float magnitude = magnitudes[next++];
        boolean stays =
            magnitude > threshold || (magnitude == threshold && magnitude > 0 && equal-- > 0);
        set(entry, i, stays);
      }
    }
  }

  private float magnitude(Parameters.Entry entry, int i) {
    boolean isCut = cut.get(entry.name()).get(i);
    return Math.abs((isCut ? dormant : parameters.values())[entry.offset() + i]);
  }

  private void set(Parameters.Entry entry, int i, boolean stays) {
    BitSet bits = cut.get(entry.name());
    int at = entry.offset() + i;
    if (stays && bits.get(i)) {
      bits.clear(i);
      parameters.values()[at] = dormant[at];
    } else if (!stays && !bits.get(i)) {
      bits.set(i);
      dormant[at] = parameters.values()[at];
      parameters.values()[at] = 0;
    }
  }
}
