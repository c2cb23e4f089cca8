package dev.lathe.compress;

import java.nio.file.Path;
import java.util.List;

/**
 * What a technique has written.
 *
 * @param bytes of the weights file as it is on disk, header included
 * @param layers one for each matrix of the model, in the order of the file that was read; none of a
 *     technique that has nothing to do with matrices
 */
public record CompressionResult(Path folder, long bytes, List<LayerResult> layers) {
  public CompressionResult {
    layers = List.copyOf(layers);
  }
}
