package dev.lathe.backend.cpu;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Checks;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.HostInfo;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.backend.Linear;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import org.hipparchus.special.Erf;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.nativeblas.NativeOpsHolder;

/**
 * Everything without the native library: matrix products and attention's by ND4J and its BLAS, what
 * ND4J has no operation for in plain Java. ND4J multiplies dense F32 only, so {@link #place} makes
 * an F32 copy of every other format, and its {@code bytes} are those of the copy. Slower than
 * {@link CpuBackend}, and there for machines where that cannot be built, and to compare with.
 */
public final class Nd4jBackend extends HostBackend {
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;

  private final int threads;

  /** Of what {@link #place} returned: matrices whose activations become INT8 before. */
  private final Set<Weight> withInt8Activations =
      Collections.newSetFromMap(new IdentityHashMap<>());

  private Nd4jBackend(int threads) {
    this.threads = threads;
  }

  /**
   * @param threads for ND4J's BLAS; ND4J holds one number for the whole process
   * @throws BackendUnusableException if ND4J cannot be loaded here
   */
  public static Nd4jBackend open(int threads) {
    if (threads < 1) {
      throw new IllegalArgumentException(threads + " threads");
    }
    try {
      // Nd4j first: it finds the library that the holder then asks for.
      Nd4j.getEnvironment().setMaxMasterThreads(threads);
      NativeOpsHolder.getInstance().getDeviceNativeOps().setOmpNumThreads(threads);
    } catch (LinkageError | RuntimeException e) {
      throw new BackendUnusableException("ND4J cannot be loaded here: " + e, e);
    }
    return new Nd4jBackend(threads);
  }

  @Override
  public DeviceInfo device() {
    return new DeviceInfo(CpuInfo.processorName(), HostInfo.memoryBytes(), threads, "nd4j");
  }

  @Override
  CpuMemory newMemory() {
    return new CpuMemory(memory -> {
      memory.weights().forEach(withInt8Activations::remove);
      memoryClosed();
    });
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    if (weight instanceof Weight.Stacked stacked) {
      return new Weight.Stacked(stacked.parts().stream().map(part -> place(part, memory)).toList());
    }
    if (isMultiplied(weight)) {
      return weight;
    }
    Tensor dense = memory.tensor(DType.F32, weight.rows(), weight.cols());
    Weight placed = new Weight.Dense(dense);
    if (TokenQuantization.isFor(weight)) {
      withInt8Activations.add(placed);
      ((CpuMemory) memory).owns(placed, 0);
    }
    double[] row = new double[Math.toIntExact(weight.cols())];
    for (long r = 0; r < weight.rows(); r++) {
      WeightRows.read(weight, r, row);
      for (int c = 0; c < row.length; c++) {
        dense.memory().set(FLOAT, (r * row.length + c) * 4, (float) row[c]);
      }
    }
    return placed;
  }

  private static boolean isMultiplied(Weight weight) {
    return weight instanceof Weight.Dense dense
        && dense.values().dtype() == DType.F32
        && dense.values().isContiguous()
        && Nd4jArrays.isAligned(dense.values());
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    if (x.size(0) == 0) {
      return;
    }
    INDArray asTheyAre = null;
    INDArray asInt8 = null;
    List<Weight> parts =
        layer.weight() instanceof Weight.Stacked stacked
            ? stacked.parts()
            : List.of(layer.weight());
    long column = 0;
    for (Weight part : parts) {
      if (!isMultiplied(part)) {
        throw new IllegalArgumentException(
            "linear: a weight as %s was not placed by this backend".formatted(part.format()));
      }
      INDArray inputs;
      if (withInt8Activations.contains(part)) {
        asInt8 = asInt8 == null ? Nd4jArrays.transposed(int8(x)) : asInt8;
        inputs = asInt8;
      } else {
        asTheyAre = asTheyAre == null ? Nd4jArrays.transposed(dense(x)) : asTheyAre;
        inputs = asTheyAre;
      }
      INDArray weight = Nd4jArrays.transposed(((Weight.Dense) part).values());
      // Column-major [outputs, tokens] is row-major [tokens, outputs]: no copy on either side.
      boolean whole = part.rows() == out.rowStride() && Nd4jArrays.isAligned(out);
      boolean add = epilogue == Epilogue.ADD;
      if (whole) {
        INDArray product = Nd4jArrays.transposed(out);
        Nd4j.gemm(weight, inputs, product, true, false, 1, add ? 1 : 0);
        addBias(out, layer, 0, part.rows());
      } else {
        INDArray product = Nd4j.create(new long[] {part.rows(), x.size(0)}, 'f');
        Nd4j.gemm(weight, inputs, product, true, false, 1, 0);
        store(product.data().asFloat(), out.columns(column, column + part.rows()), add);
        addBias(out, layer, column, part.rows());
      }
      column += part.rows();
    }
  }

  /** What INT8 activations are worth, as F32. */
  private static Tensor int8(Tensor x) {
    Tensor rounded = Tensor.of(Arena.ofAuto().allocate(x.elements() * 4, 64), DType.F32, x.shape());
    int cols = Math.toIntExact(x.size(1));
    for (long t = 0; t < x.size(0); t++) {
      TokenQuantization token = TokenQuantization.of(x, t);
      for (int c = 0; c < cols; c++) {
        rounded.memory().set(FLOAT, (t * cols + c) * 4, token.codes()[c] * token.scale());
      }
    }
    return rounded;
  }

  /** The tensor itself where ND4J can view it, else a copy. */
  private static Tensor dense(Tensor x) {
    if (x.rowStride() == x.size(1) && Nd4jArrays.isAligned(x)) {
      return x;
    }
    long cols = x.size(1);
    Tensor copy = Tensor.of(Arena.ofAuto().allocate(x.bytes(), 64), DType.F32, x.size(0), cols);
    for (long r = 0; r < x.size(0); r++) {
      MemorySegment.copy(x.memory(), r * x.rowStride() * 4, copy.memory(), r * cols * 4, cols * 4);
    }
    return copy;
  }

  private static void store(float[] product, Tensor out, boolean add) {
    int cols = Math.toIntExact(out.size(1));
    for (int t = 0; t < out.size(0); t++) {
      for (int c = 0; c < cols; c++) {
        long at = (t * out.rowStride() + c) * 4;
        float value = product[t * cols + c];
        out.memory().set(FLOAT, at, add ? out.memory().get(FLOAT, at) + value : value);
      }
    }
  }

  private static void addBias(Tensor out, Linear layer, long column, long rows) {
    if (layer.bias().isEmpty()) {
      return;
    }
    MemorySegment bias = layer.bias().get().memory();
    for (long t = 0; t < out.size(0); t++) {
      for (long r = column; r < column + rows; r++) {
        long at = (t * out.rowStride() + r) * 4;
        out.memory().set(FLOAT, at, out.memory().get(FLOAT, at) + bias.get(FLOAT, r * 4));
      }
    }
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    Checks.embed(out, table, tokens);
    Checks.below("embed: tokens", tokens, table.rows());
    double[] row = new double[Math.toIntExact(table.cols())];
    for (long t = 0; t < out.size(0); t++) {
      WeightRows.read(table, tokens.memory().get(INT, t * 4), row);
      for (int c = 0; c < row.length; c++) {
        out.memory().set(FLOAT, (t * row.length + c) * 4, (float) row[c]);
      }
    }
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.rmsNorm(out, x, weight);
    long cols = x.size(1);
    for (long r = 0; r < x.size(0); r++) {
      double squares = 0;
      for (long c = 0; c < cols; c++) {
        float value = x.memory().get(FLOAT, (r * cols + c) * 4);
        squares += (double) value * value;
      }
      float factor = (float) (1 / Math.sqrt(squares / cols + epsilon));
      for (long c = 0; c < cols; c++) {
        long at = (r * cols + c) * 4;
        float value = x.memory().get(FLOAT, at) * factor * weight.memory().get(FLOAT, c * 4);
        out.memory().set(FLOAT, at, value);
      }
    }
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.rotateAndAppend(qkv, rotations, shape, cache, batch);
    Checks.below("rotateAndAppend: positions", batch.positions(), rotations.size(0));
    Checks.below("rotateAndAppend: slots", batch.slots(), cache.pages() * cache.pageSize());
    int headDim = shape.headDim();
    int half = headDim / 2;
    for (long t = 0; t < batch.tokenCount(); t++) {
      long start = t * qkv.rowStride();
      long rotation = batch.positions().memory().get(INT, t * 4) * rotations.rowStride();
      for (int head = 0; head < shape.heads() + shape.kvHeads(); head++) {
        for (int i = 0; i < half; i++) {
          long left = (start + (long) head * headDim + i) * 4;
          long right = left + half * 4L;
          float cos = rotations.memory().get(FLOAT, (rotation + i) * 4);
          float sin = rotations.memory().get(FLOAT, (rotation + half + i) * 4);
          float a = qkv.memory().get(FLOAT, left);
          float b = qkv.memory().get(FLOAT, right);
          qkv.memory().set(FLOAT, left, a * cos - b * sin);
          qkv.memory().set(FLOAT, right, b * cos + a * sin);
        }
      }
      append(qkv, start, shape, cache, batch.slots().memory().get(INT, t * 4));
    }
  }

  private static void append(
      Tensor qkv, long start, AttentionShape shape, KvLayer cache, int slot) {
    int headDim = shape.headDim();
    long page = slot / cache.pageSize();
    int line = slot % cache.pageSize();
    long keys = start + (long) shape.heads() * headDim;
    long values = keys + (long) shape.kvHeads() * headDim;
    float[] row = new float[headDim];
    for (int head = 0; head < shape.kvHeads(); head++) {
      long column = (long) head * headDim;
      MemorySegment.copy(qkv.memory(), FLOAT, (keys + column) * 4, row, 0, headDim);
      KvRows.write(cache, cache.keys(), page, head, line, row);
      MemorySegment.copy(qkv.memory(), FLOAT, (values + column) * 4, row, 0, headDim);
      KvRows.write(cache, cache.values(), page, head, line, row);
    }
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.attention(out, qkv, shape, cache, batch);
    Checks.below("attention: blocks", batch.blocks(), cache.pages());
    new Nd4jAttention(shape, cache, batch).run(out, qkv);
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    Checks.gate(out, gateUp);
    long n = out.size(1);
    for (long t = 0; t < out.size(0); t++) {
      for (long c = 0; c < n; c++) {
        double x = gateUp.memory().get(FLOAT, (t * 2 * n + c) * 4);
        double up = gateUp.memory().get(FLOAT, ((t * 2 + 1) * n + c) * 4);
        double gate = activate(activation, x);
        out.memory().set(FLOAT, (t * n + c) * 4, (float) (gate * up));
      }
    }
  }

  private static double activate(Activation activation, double x) {
    return switch (activation) {
      case SILU -> x / (1 + Math.exp(-x));
      case GELU_TANH ->
          x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
      case GELU -> x / 2 * Erf.erfc(-x / Math.sqrt(2));
    };
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    Checks.addEmbedding(out, table, rows);
    Checks.below("addEmbedding: rows", rows, table.rows());
    double[] row = new double[Math.toIntExact(table.cols())];
    for (long t = 0; t < out.size(0); t++) {
      WeightRows.read(table, rows.memory().get(INT, t * 4), row);
      for (int c = 0; c < row.length; c++) {
        long at = (t * row.length + c) * 4;
        out.memory().set(FLOAT, at, (float) (out.memory().get(FLOAT, at) + row[c]));
      }
    }
  }

  @Override
  public void scale(Tensor x, float factor) {
    Checks.scale(x);
    Nd4jVariants.map(x, x, value -> value * factor);
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.addRmsNorm(out, x, weight);
    Nd4jVariants.addRmsNorm(out, x, weight, epsilon);
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    Checks.layerNorm(out, x, weight, bias);
    Nd4jVariants.layerNorm(out, x, weight, bias, epsilon);
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    Checks.normHeads(qkv, query, key, shape);
    Nd4jVariants.normHeads(qkv, query, key, shape, epsilon);
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.append(qkv, shape, cache, batch);
    Checks.below("append: slots", batch.slots(), cache.pages() * cache.pageSize());
    for (long t = 0; t < batch.tokenCount(); t++) {
      append(qkv, t * qkv.rowStride(), shape, cache, batch.slots().memory().get(INT, t * 4));
    }
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    Checks.activate(out, x);
    Nd4jVariants.map(out, x, value -> activate(activation, value));
  }

  @Override
  public void softCap(Tensor x, float cap) {
    Checks.softCap(x, cap);
    Nd4jVariants.map(x, x, value -> cap * Math.tanh(value / cap));
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    Checks.gatherRows(out, x, rows);
    Checks.below("gatherRows: rows", rows, x.size(0));
    long bytes = x.size(1) * 4;
    for (long i = 0; i < rows.size(0); i++) {
      long from = rows.memory().get(INT, i * 4) * bytes;
      MemorySegment.copy(x.memory(), from, out.memory(), i * bytes, bytes);
    }
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    Checks.argmax(out, x);
    long cols = x.size(1);
    for (long r = 0; r < x.size(0); r++) {
      int best = 0;
      float largest = x.memory().get(FLOAT, r * cols * 4);
      for (int c = 1; c < cols; c++) {
        float value = x.memory().get(FLOAT, (r * cols + c) * 4);
        if (value > largest) {
          best = c;
          largest = value;
        }
      }
      out.memory().set(INT, r * 4, best);
    }
  }

  @Override
  public List<DType> cacheTypes() {
    return List.of(DType.F32, DType.F16, DType.I8);
  }

  /** Every operation is done when it returns. */
  @Override
  public void synchronize() {}

  @Override
  public void close() {
    reportLeaks();
  }
}
