package dev.lathe.compress;

/**
 * What has become of one matrix.
 *
 * @param name its module: {@code model.layers.0.mlp.down_proj}
 * @param format that it is stored in now, as {@link dev.lathe.tensor.Weight#format()} says
 * @param bytesBefore of its tensors in the file that was read
 * @param bytesAfter of its tensors in the file that was written
 * @param relativeError {@code ||w - w'|| / ||w||}, Frobenius norms, against the file that was read;
 *     0 where w is 0
 * @param sparsity share of its weights that are not stored
 * @param note why it was left as it is; empty where it was not
 */
public record LayerResult(
    String name,
    String format,
    long bytesBefore,
    long bytesAfter,
    double relativeError,
    double sparsity,
    String note) {

  public LayerResult(
      String name,
      String format,
      long bytesBefore,
      long bytesAfter,
      double relativeError,
      double sparsity) {
    this(name, format, bytesBefore, bytesAfter, relativeError, sparsity, "");
  }
}
