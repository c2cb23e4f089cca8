package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;

/**
 * The shapes that each operation of {@link Backend} takes, for every backend to check before a
 * kernel sees them. A mistake is an {@link IllegalArgumentException} that names both shapes. Only
 * {@link #linear} takes strided rows.
 */
public final class Checks {
  /** How the rows of activations may lie. */
  public enum Rows {
    /** One behind the other. */
    CONTIGUOUS,
    /** Apart, as {@link Backend#rowStride} asks. */
    APART
  }

  private Checks() {}

  public static void embed(Tensor out, Weight table, Tensor tokens) {
    embed(Rows.CONTIGUOUS, out, table, tokens);
  }

  public static void embed(Rows lie, Tensor out, Weight table, Tensor tokens) {
    indices("embed: tokens", tokens);
    matrix(lie, "embed: out", out, tokens.size(0), table.cols());
  }

  public static void addEmbedding(Tensor out, Weight table, Tensor rows) {
    addEmbedding(Rows.CONTIGUOUS, out, table, rows);
  }

  public static void addEmbedding(Rows lie, Tensor out, Weight table, Tensor rows) {
    indices("addEmbedding: rows", rows);
    matrix(lie, "addEmbedding: out", out, rows.size(0), table.cols());
  }

  public static void scale(Tensor x) {
    scale(Rows.CONTIGUOUS, x);
  }

  public static void scale(Rows lie, Tensor x) {
    matrix(lie, "scale: x", x);
  }

  public static void addRmsNorm(Tensor out, Tensor x, Tensor weight) {
    addRmsNorm(Rows.CONTIGUOUS, out, x, weight);
  }

  public static void addRmsNorm(Rows lie, Tensor out, Tensor x, Tensor weight) {
    matrix(lie, "addRmsNorm: x", x);
    matrix(lie, "addRmsNorm: out", out, x.size(0), x.size(1));
    shape("addRmsNorm: weight", weight, DType.F32, x.size(1));
  }

  public static void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias) {
    layerNorm(Rows.CONTIGUOUS, out, x, weight, bias);
  }

  public static void layerNorm(Rows lie, Tensor out, Tensor x, Tensor weight, Tensor bias) {
    matrix(lie, "layerNorm: x", x);
    matrix(lie, "layerNorm: out", out, x.size(0), x.size(1));
    shape("layerNorm: weight", weight, DType.F32, x.size(1));
    shape("layerNorm: bias", bias, DType.F32, x.size(1));
  }

  public static void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape) {
    normHeads(Rows.CONTIGUOUS, qkv, query, key, shape);
  }

  public static void normHeads(
      Rows lie, Tensor qkv, Tensor query, Tensor key, AttentionShape shape) {
    matrix(lie, "normHeads: qkv", qkv);
    expect("normHeads: qkv", qkv, qkv.size(0), shape.queryKeyValueColumns());
    shape("normHeads: query", query, DType.F32, shape.headDim());
    shape("normHeads: key", key, DType.F32, shape.headDim());
  }

  public static void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    append(Rows.CONTIGUOUS, qkv, shape, cache, batch);
  }

  public static void append(
      Rows lie, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    batch(batch);
    matrix(lie, "append: qkv", qkv, batch.tokenCount(), shape.queryKeyValueColumns());
    cache("append", shape, cache);
  }

  public static void activate(Tensor out, Tensor x) {
    activate(Rows.CONTIGUOUS, out, x);
  }

  public static void activate(Rows lie, Tensor out, Tensor x) {
    matrix(lie, "activate: x", x);
    matrix(lie, "activate: out", out, x.size(0), x.size(1));
  }

  public static void softCap(Tensor x, float cap) {
    softCap(Rows.CONTIGUOUS, x, cap);
  }

  public static void softCap(Rows lie, Tensor x, float cap) {
    matrix(lie, "softCap: x", x);
    if (!(cap > 0) || Float.isInfinite(cap)) {
      throw new IllegalArgumentException("softCap: a cap of %s for %s".formatted(cap, x));
    }
  }

  public static void rmsNorm(Tensor out, Tensor x, Tensor weight) {
    rmsNorm(Rows.CONTIGUOUS, out, x, weight);
  }

  public static void rmsNorm(Rows lie, Tensor out, Tensor x, Tensor weight) {
    matrix(lie, "rmsNorm: x", x);
    matrix(lie, "rmsNorm: out", out, x.size(0), x.size(1));
    shape("rmsNorm: weight", weight, DType.F32, x.size(1));
  }

  public static void linear(Tensor out, Tensor x, Linear layer) {
    stridedMatrix("linear: x", x);
    expect("linear: x", x, x.size(0), layer.inputs());
    stridedMatrix("linear: out", out);
    expect("linear: out", out, x.size(0), layer.outputs());
    if (layer.bias().isPresent()) {
      shape("linear: bias", layer.bias().get(), DType.F32, layer.outputs());
    }
  }

  public static void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
    rmsNorm(normed, x, norm.weight());
    linear(out, x, layer);
  }

  public static void normLinearGate(
      Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed, Tensor gateUp) {
    normLinear(gateUp, x, norm, layer, normed);
    gate(out, gateUp);
  }

  public static void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    rotateAndAppend(Rows.CONTIGUOUS, qkv, rotations, shape, cache, batch);
  }

  public static void rotateAndAppend(
      Rows lie,
      Tensor qkv,
      Tensor rotations,
      AttentionShape shape,
      KvLayer cache,
      BatchTensors batch) {
    batch(batch);
    matrix(lie, "rotateAndAppend: qkv", qkv, batch.tokenCount(), shape.queryKeyValueColumns());
    matrix("rotateAndAppend: rotations", rotations);
    expect("rotateAndAppend: rotations", rotations, rotations.size(0), shape.headDim());
    if (shape.headDim() % 2 != 0) {
      throw new IllegalArgumentException(
          "rotateAndAppend: headDim %d is odd, its elements cannot be paired"
              .formatted(shape.headDim()));
    }
    cache("rotateAndAppend", shape, cache);
  }

  public static void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    attention(Rows.CONTIGUOUS, out, qkv, shape, cache, batch);
  }

  public static void attention(
      Rows lie, Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    batch(batch);
    matrix(lie, "attention: qkv", qkv, batch.tokenCount(), shape.queryKeyValueColumns());
    matrix(lie, "attention: out", out, batch.tokenCount(), (long) shape.heads() * shape.headDim());
    cache("attention", shape, cache);
  }

  public static void gate(Tensor out, Tensor gateUp) {
    gate(Rows.CONTIGUOUS, out, gateUp);
  }

  public static void gate(Rows lie, Tensor out, Tensor gateUp) {
    matrix(lie, "gate: out", out);
    matrix(lie, "gate: gateUp", gateUp, out.size(0), 2 * out.size(1));
  }

  public static void gatherRows(Tensor out, Tensor x, Tensor rows) {
    gatherRows(Rows.CONTIGUOUS, out, x, rows);
  }

  public static void gatherRows(Rows lie, Tensor out, Tensor x, Tensor rows) {
    indices("gatherRows: rows", rows);
    matrix(lie, "gatherRows: x", x);
    matrix(lie, "gatherRows: out", out, rows.size(0), x.size(1));
  }

  /** Shapes, and that there are parameters for each row. */
  public static void sample(
      Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts, int most) {
    argmax(out, logits);
    if (draws.size() != logits.size(0)
        || contexts.size() != logits.size(0)
        || logits.size(1) > most) {
      throw new IllegalArgumentException(
          "sample: logits %s, of at most %d columns, with parameters of %d rows and contexts of %d"
              .formatted(logits, most, draws.size(), contexts.size()));
    }
    for (int r = 0; r < draws.size(); r++) {
      for (int token : draws.get(r).repetitionPenalty() == 1 ? new int[0] : contexts.get(r)) {
        if (token < 0 || token >= logits.size(1)) {
          throw new IllegalArgumentException(
              "sample: token %d in the context of row %d of logits %s".formatted(token, r, logits));
        }
      }
    }
  }

  public static void argmax(Tensor out, Tensor x) {
    argmax(Rows.CONTIGUOUS, out, x);
  }

  public static void argmax(Rows lie, Tensor out, Tensor x) {
    matrix(lie, "argmax: x", x);
    if (x.size(1) == 0) {
      throw new IllegalArgumentException("argmax: x is " + x + ", a row of nothing has no largest");
    }
    shape("argmax: out", out, DType.I32, x.size(0));
  }

  /**
   * Every index below {@code limit} and none negative: for backends whose memory the host can read.
   */
  public static void below(String what, Tensor indices, long limit) {
    for (long i = 0; i < indices.elements(); i++) {
      int index = indices.memory().get(ValueLayout.JAVA_INT_UNALIGNED, i * 4);
      if (index < 0 || index >= limit) {
        throw new IllegalArgumentException(
            "%s[%d] is %d, not in 0 to %d".formatted(what, i, index, limit - 1));
      }
    }
  }

  /** The host's bytes must be exactly those of a contiguous tensor. */
  public static void transfer(long hostBytes, Tensor device) {
    if (!contiguous(device) || hostBytes != device.bytes()) {
      throw new IllegalArgumentException(
          "%d host bytes do not fit %s".formatted(hostBytes, device));
    }
  }

  private static void batch(BatchTensors batch) {
    long tokens = batch.tokens().size(0);
    long sequences = batch.contextLengths().size(0);
    shape("batch: tokens", batch.tokens(), DType.I32, tokens);
    shape("batch: positions", batch.positions(), DType.I32, tokens);
    shape("batch: slots", batch.slots(), DType.I32, tokens);
    shape("batch: contextLengths", batch.contextLengths(), DType.I32, sequences);
    shape("batch: queryStarts", batch.queryStarts(), DType.I32, sequences + 1);
    shape("batch: blockStarts", batch.blockStarts(), DType.I32, sequences + 1);
    indices("batch: blocks", batch.blocks());
  }

  private static void cache(String operation, AttentionShape shape, KvLayer cache) {
    if (cache.kvHeads() != shape.kvHeads() || cache.headDim() != shape.headDim()) {
      throw new IllegalArgumentException(
          "%s: a cache of %s does not fit %s".formatted(operation, cache.keys(), shape));
    }
  }

  private static void indices(String what, Tensor tensor) {
    if (tensor.rank() != 1 || tensor.dtype() != DType.I32) {
      throw new IllegalArgumentException("%s is %s, not I32[n]".formatted(what, tensor));
    }
  }

  private static void matrix(Rows lie, String what, Tensor tensor) {
    if (lie == Rows.APART) {
      stridedMatrix(what, tensor);
    } else {
      matrix(what, tensor);
    }
  }

  private static void matrix(Rows lie, String what, Tensor tensor, long rows, long cols) {
    matrix(lie, what, tensor);
    expect(what, tensor, rows, cols);
  }

  private static void matrix(String what, Tensor tensor) {
    stridedMatrix(what, tensor);
    if (!contiguous(tensor)) {
      throw new IllegalArgumentException("%s is %s, not contiguous".formatted(what, tensor));
    }
  }

  private static void stridedMatrix(String what, Tensor tensor) {
    if (tensor.rank() != 2 || tensor.dtype() != DType.F32) {
      throw new IllegalArgumentException("%s is %s, not F32[rows, cols]".formatted(what, tensor));
    }
  }

  private static void expect(String what, Tensor tensor, long rows, long cols) {
    if (tensor.size(0) != rows || tensor.size(1) != cols) {
      throw new IllegalArgumentException(
          "%s is %s, expected F32[%d, %d]".formatted(what, tensor, rows, cols));
    }
  }

  private static void shape(String what, Tensor tensor, DType dtype, long... shape) {
    if (tensor.dtype() != dtype || !Arrays.equals(tensor.shape(), shape)) {
      throw new IllegalArgumentException(
          "%s is %s, expected %s%s".formatted(what, tensor, dtype, Arrays.toString(shape)));
    }
  }

  /** One row has no gaps, whatever its stride. */
  private static boolean contiguous(Tensor tensor) {
    return tensor.isContiguous() || (tensor.rank() == 2 && tensor.size(0) == 1);
  }
}
