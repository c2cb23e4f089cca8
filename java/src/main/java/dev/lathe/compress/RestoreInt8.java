package dev.lathe.compress;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.Weight;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Quantizes again what was INT8 in another checkpoint of the same model, symmetric or not as it was
 * there, a scale a row: after a training, which works on floats. The others stay as they are.
 */
public final class RestoreInt8 implements Technique {
  private final Map<String, QuantizeInt8> byModule = new LinkedHashMap<>();

  /**
   * @param model that had INT8 matrices, or none
   */
  public RestoreInt8(Checkpoint model) {
    for (Contents.Matrix matrix : Contents.matrices(model)) {
      Weight weight = model.weight(matrix.module());
      boolean symmetric = Bitmaps.zeroPoints(weight).isEmpty();
      ActivationFormat activations =
          weight instanceof Weight.Int8 int8 ? int8.activations() : ActivationFormat.FLOAT;
      if (Bitmaps.scales(weight).isPresent()) {
        byModule.put(matrix.module(), new QuantizeInt8(symmetric, activations));
      }
    }
  }

  /** True where there is nothing to quantize. */
  public boolean isNothing() {
    return byModule.isEmpty();
  }

  @Override
  public String name() {
    return "int8 again";
  }

  @Override
  public String description() {
    return byModule.values().stream().distinct().count() == 1
        ? byModule.values().iterator().next().description()
        : "quantize w8a16 and w8a8 rtn per-channel, as before";
  }

  @Override
  public CompressionResult apply(Checkpoint in, Path out, Progress progress) {
    return Rewrite.run(
        in,
        out,
        description(),
        progress,
        () ->
            (matrix, rows) -> {
              QuantizeInt8 as = byModule.get(matrix.module());
              return as == null ? new Rewrite.Plan.Keep("was not INT8") : as.plan(matrix, rows);
            });
  }
}
