package dev.lathe.train;

import java.util.List;

/**
 * How many weights of which matrices are cut at which step of a training: from what is zero at the
 * beginning, to {@code sparsity} after {@code rampSteps}, along a cubic, so that most goes while
 * much is left: {@code s(t) = s_end + (s_begin - s_end) (1 - t / rampSteps)^3}.
 *
 * @param modules matrices that are pruned, each once: {@code model.layers.0.mlp.down_proj}
 * @param sparsity share of their weights that are cut in the end, above 0 and below 1
 * @param together true for one threshold over all of them; else each loses the share
 * @param rampSteps over which the share rises; 0 for all of it before the first step
 * @param every steps between two choices of what is cut
 * @see <a href="https://arxiv.org/abs/1710.01878">Zhu and Gupta 2017, equation 1</a>
 */
public record PruningSchedule(
    List<String> modules, double sparsity, boolean together, int rampSteps, int every) {
  public PruningSchedule {
    modules = List.copyOf(modules);
    if (modules.isEmpty() || !(sparsity > 0 && sparsity < 1) || rampSteps < 0 || every < 1) {
      throw new IllegalArgumentException(
          "%d matrices, sparsity %s, %d steps, every %d"
              .formatted(modules.size(), sparsity, rampSteps, every));
    }
  }

  boolean choosesAt(long step) {
    return step == rampSteps || (step < rampSteps && step % every == 0);
  }

  /**
   * @param first the share that was zero before the first step
   */
  double sparsityAt(long step, double first) {
    if (step >= rampSteps || first >= sparsity) {
      return sparsity;
    }
    double left = 1 - (double) step / rampSteps;
    return sparsity + (first - sparsity) * left * left * left;
  }
}
