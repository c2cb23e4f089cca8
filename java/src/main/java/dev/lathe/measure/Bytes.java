package dev.lathe.measure;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;

/**
 * Bytes that each operation of {@code Backend} has to move: every input read once and every output
 * written once, as if caches were perfect inside an operation and empty between two. The floor, not
 * a guess at what a kernel does. Activations are F32.
 */
public final class Bytes {
  private static final long F32 = 4;

  private Bytes() {}

  @Metric(
      name = "bytes of linear",
      unit = "B",
      formula =
          "weight and bias as stored + 4 * tokens * inputs + 4 * tokens * outputs (8 when added to"
              + " the output)")
  public static long linear(long tokens, Linear layer, Epilogue epilogue) {
    long output = tokens * layer.outputs() * F32;
    return layer.bytes()
        + tokens * layer.inputs() * F32
        + (epilogue == Epilogue.ADD ? 2 * output : output);
  }

  @Metric(
      name = "bytes of embed",
      unit = "B",
      formula = "tokens * (bytes of a table row as stored + 4 * cols + 4)")
  public static long embed(long tokens, Weight table) {
    return Math.ceilDiv(tokens * table.bytes(), table.rows()) + tokens * (table.cols() + 1) * F32;
  }

  @Metric(name = "bytes of rmsNorm", unit = "B", formula = "4 * (2 * rows * cols + cols)")
  public static long rmsNorm(long rows, long cols) {
    return F32 * (2 * rows * cols + cols);
  }

  @Metric(
      name = "bytes of rotateAndAppend",
      unit = "B",
      formula =
          "tokens * (4 * (heads + 2 kvHeads) * headDim read + 4 * headDim of rotations"
              + " + 4 * heads * headDim written back + 2 * kvHeads * headDim as cached)")
  public static long rotateAndAppend(long tokens, AttentionShape shape, DType cache) {
    long headDim = shape.headDim();
    return tokens
        * (F32 * shape.queryKeyValueColumns()
            + F32 * headDim
            + F32 * shape.heads() * headDim
            + 2L * shape.kvHeads() * KvLayer.rowBytes(cache, shape.headDim()));
  }

  /**
   * Keys and values count once for a sequence, however many of its tokens and heads read them.
   *
   * @param cachedTokens context lengths of the sequences, as far as the window reaches, summed
   */
  @Metric(
      name = "bytes of attention",
      unit = "B",
      formula =
          "8 * tokens * heads * headDim + 2 * kvHeads * headDim as cached * sum over sequences of"
              + " its context length, as far as the window reaches")
  public static long attention(AttentionShape shape, long tokens, long cachedTokens, DType cache) {
    return 2 * F32 * tokens * shape.heads() * shape.headDim()
        + 2L * shape.kvHeads() * KvLayer.rowBytes(cache, shape.headDim()) * cachedTokens;
  }

  @Metric(name = "bytes of gate", unit = "B", formula = "12 * elements of the output")
  public static long gate(long elements) {
    return 3 * F32 * elements;
  }

  @Metric(
      name = "bytes of addEmbedding",
      unit = "B",
      formula = "tokens * (bytes of a table row as stored + 8 * cols + 4)")
  public static long addEmbedding(long tokens, Weight table) {
    return embed(tokens, table) + tokens * table.cols() * F32;
  }

  @Metric(
      name = "bytes of scale, softCap and activate",
      unit = "B",
      formula = "8 * elements of the output")
  public static long perElement(long elements) {
    return 2 * F32 * elements;
  }

  @Metric(name = "bytes of layerNorm", unit = "B", formula = "4 * (2 * rows * cols + 2 * cols)")
  public static long layerNorm(long rows, long cols) {
    return F32 * (2 * rows * cols + 2 * cols);
  }

  @Metric(name = "bytes of addRmsNorm", unit = "B", formula = "4 * (3 * rows * cols + cols)")
  public static long addRmsNorm(long rows, long cols) {
    return F32 * (3 * rows * cols + cols);
  }

  @Metric(
      name = "bytes of normHeads",
      unit = "B",
      formula = "8 * tokens * (heads + kvHeads) * headDim + 8 * headDim")
  public static long normHeads(long tokens, AttentionShape shape) {
    return 2 * F32 * shape.headDim() * (tokens * (shape.heads() + shape.kvHeads()) + 1);
  }

  @Metric(
      name = "bytes of append",
      unit = "B",
      formula = "tokens * 2 kvHeads * (4 * headDim + headDim as cached)")
  public static long append(long tokens, AttentionShape shape, DType cache) {
    return tokens
        * 2
        * shape.kvHeads()
        * (F32 * shape.headDim() + KvLayer.rowBytes(cache, shape.headDim()));
  }

  @Metric(name = "bytes of gatherRows", unit = "B", formula = "rows * (8 * cols + 4)")
  public static long gatherRows(long rows, long cols) {
    return rows * (2 * cols + 1) * F32;
  }

  @Metric(name = "bytes of argmax", unit = "B", formula = "rows * (4 * cols + 4)")
  public static long argmax(long rows, long cols) {
    return rows * (cols + 1) * F32;
  }

  @Metric(
      name = "KV bytes per token",
      unit = "B",
      formula =
          "2 * layers * kvHeads * headDim * bytes of the cache's type, as INT8 headDim + 4 for"
              + " headDim")
  public static long keyValuePerToken(ModelConfig config, DType cache) {
    return config.cacheBytesPerToken(cache);
  }
}
