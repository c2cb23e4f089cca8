package dev.lathe.compress;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.tensor.Weight;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What has become of each matrix between two checkpoints of one model, whatever came between. */
public final class LayerComparison {
  private LayerComparison() {}

  /**
   * @param after has the matrices of {@code before}, in any order
   * @return in the order of {@code before}; errors are those of the weights against it
   */
  public static List<LayerResult> of(Checkpoint before, Checkpoint after) {
    Map<String, Long> bytes = new HashMap<>();
    Contents.matrices(after).forEach(matrix -> bytes.put(matrix.module(), matrix.bytes()));
    return Contents.matrices(before).stream()
        .map(matrix -> {
          Weight now = after.weight(matrix.module());
          return Rewrite.result(
              matrix,
              now,
              bytes.get(matrix.module()),
              RelativeError.of(before.weight(matrix.module()), now),
              "");
        })
        .toList();
  }
}
