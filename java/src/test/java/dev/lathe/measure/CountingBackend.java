package dev.lathe.measure;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Computes each operation with arithmetic that counts itself, so that formulas can be held against
 * what a forward pass really does. It knows no formula of its own.
 */
final class CountingBackend implements Backend {
  private final ReferenceBackend memory = new ReferenceBackend();
  private long operations;

  long operations() {
    return operations;
  }

  private double add(double a, double b) {
    operations++;
    return a + b;
  }

  private double subtract(double a, double b) {
    operations++;
    return a - b;
  }

  private double multiply(double a, double b) {
    operations++;
    return a * b;
  }

  private double divide(double a, double b) {
    operations++;
    return a / b;
  }

  private double exp(double a) {
    operations++;
    return Math.exp(a);
  }

  private double sqrt(double a) {
    operations++;
    return Math.sqrt(a);
  }

  private double tanh(double a) {
    operations++;
    return Math.tanh(a);
  }

  private double erf(double a) {
    operations++;
    return org.hipparchus.special.Erf.erf(a);
  }

  private double negate(double a) {
    operations++;
    return -a;
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    memory.embed(out, table, tokens);
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    memory.gatherRows(out, x, rows);
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    memory.argmax(out, x);
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    long cols = x.size(1);
    for (long r = 0; r < x.size(0); r++) {
      double squares = 0;
      for (long c = 0; c < cols; c++) {
        squares = add(squares, multiply(get(x, r, c), get(x, r, c)));
      }
      double root = sqrt(add(divide(squares, cols), epsilon));
      for (long c = 0; c < cols; c++) {
        set(out, r, c, multiply(divide(get(x, r, c), root), get(weight, 0, c)));
      }
    }
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    Tensor added = copy(out);
    memory.embed(added, table, rows);
    for (long r = 0; r < out.size(0); r++) {
      for (long c = 0; c < out.size(1); c++) {
        set(out, r, c, add(get(out, r, c), get(added, r, c)));
      }
    }
  }

  @Override
  public void scale(Tensor x, float factor) {
    each(x, x, value -> multiply(value, factor));
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    each(out, x, value -> activate(activation, value));
  }

  @Override
  public void softCap(Tensor x, float cap) {
    each(x, x, value -> multiply(cap, tanh(divide(value, cap))));
  }

  private static void each(Tensor out, Tensor x, java.util.function.DoubleUnaryOperator function) {
    for (long r = 0; r < x.size(0); r++) {
      for (long c = 0; c < x.size(1); c++) {
        set(out, r, c, function.applyAsDouble(get(x, r, c)));
      }
    }
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Tensor normed = copy(x);
    rmsNorm(normed, x, weight, epsilon);
    for (long r = 0; r < x.size(0); r++) {
      for (long c = 0; c < x.size(1); c++) {
        set(out, r, c, add(get(out, r, c), get(normed, r, c)));
      }
    }
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    long cols = x.size(1);
    for (long r = 0; r < x.size(0); r++) {
      double sum = 0;
      for (long c = 0; c < cols; c++) {
        sum = add(sum, get(x, r, c));
      }
      double mean = divide(sum, cols);
      double[] centred = new double[(int) cols];
      double squares = 0;
      for (int c = 0; c < cols; c++) {
        centred[c] = subtract(get(x, r, c), mean);
        squares = add(squares, multiply(centred[c], centred[c]));
      }
      double root = sqrt(add(divide(squares, cols), epsilon));
      for (int c = 0; c < cols; c++) {
        double weighed = multiply(divide(centred[c], root), get(weight, 0, c));
        set(out, r, c, add(weighed, get(bias, 0, c)));
      }
    }
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    for (long t = 0; t < qkv.size(0); t++) {
      for (int head = 0; head < shape.heads() + shape.kvHeads(); head++) {
        long at = (long) head * shape.headDim();
        Tensor row = qkv.rows(t, t + 1).columns(at, at + shape.headDim());
        rmsNorm(row, row, head < shape.heads() ? query : key, epsilon);
      }
    }
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    memory.append(qkv, shape, cache, batch);
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    for (long t = 0; t < x.size(0); t++) {
      long first = 0;
      for (Weight part : parts(layer.weight())) {
        for (long o = 0; o < part.rows(); o++) {
          double sum = dot(x, t, part, o);
          if (layer.bias().isPresent()) {
            sum = add(sum, get(layer.bias().get(), 0, first + o));
          }
          if (epilogue == Epilogue.ADD) {
            sum = add(sum, get(out, t, first + o));
          }
          set(out, t, first + o, sum);
        }
        first += part.rows();
      }
    }
  }

  private static java.util.List<Weight> parts(Weight weight) {
    return weight instanceof Weight.Stacked stacked ? stacked.parts() : java.util.List.of(weight);
  }

  private double dot(Tensor x, long t, Weight weight, long row) {
    double sum = 0;
    if (weight instanceof Weight.Dense dense) {
      for (long i = 0; i < dense.cols(); i++) {
        sum = add(sum, multiply(get(x, t, i), get(dense.values(), row, i)));
      }
      return sum;
    }
    Weight.Bitmap bitmap = (Weight.Bitmap) weight;
    long at = bitmap.rowOffsets().memory().getAtIndex(ValueLayout.JAVA_LONG, row);
    for (long i = 0; i < bitmap.cols(); i++) {
      int bits = (int) get(bitmap.bitmap(), row, i / 8);
      if ((bits >> (i % 8) & 1) == 1) {
        sum = add(sum, multiply(get(x, t, i), get(bitmap.values(), 0, at++)));
      }
    }
    return sum;
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    int half = shape.headDim() / 2;
    Tensor source = copy(qkv);
    memory.rotateAndAppend(qkv, rotations, shape, cache, batch);
    for (int t = 0; t < batch.tokenCount(); t++) {
      int position = batch.positions().memory().getAtIndex(ValueLayout.JAVA_INT, t);
      for (int head = 0; head < shape.heads() + shape.kvHeads(); head++) {
        for (int i = 0; i < half; i++) {
          int a = head * shape.headDim() + i;
          double cos = get(rotations, position, i);
          double sin = get(rotations, position, half + i);
          double first = get(source, t, a);
          double second = get(source, t, a + half);
          set(qkv, t, a, subtract(multiply(first, cos), multiply(second, sin)));
          set(qkv, t, a + half, add(multiply(second, cos), multiply(first, sin)));
        }
      }
    }
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    for (int s = 0; s < batch.sequenceCount(); s++) {
      int start = batch.queryStarts().memory().getAtIndex(ValueLayout.JAVA_INT, s);
      int end = batch.queryStarts().memory().getAtIndex(ValueLayout.JAVA_INT, s + 1);
      for (int t = start; t < end; t++) {
        int context = batch.contextLengths().memory().getAtIndex(ValueLayout.JAVA_INT, s);
        int visible = context - (end - t) + 1;
        int blocks = batch.blockStarts().memory().getAtIndex(ValueLayout.JAVA_INT, s);
        for (int head = 0; head < shape.heads(); head++) {
          attend(out, qkv, shape, cache, batch.blocks(), blocks, t, visible, head);
        }
      }
    }
  }

  private void attend(
      Tensor out,
      Tensor qkv,
      AttentionShape shape,
      KvLayer cache,
      Tensor blocks,
      int firstBlock,
      int token,
      int visible,
      int head) {
    int headDim = shape.headDim();
    int kvHead = head / (shape.heads() / shape.kvHeads());
    double[] weights = new double[visible];
    long[] rows = new long[visible];
    double largest = Double.NEGATIVE_INFINITY;
    int first = Math.max(0, visible - shape.window());
    for (int j = first; j < visible; j++) {
      int block =
          blocks.memory().getAtIndex(ValueLayout.JAVA_INT, firstBlock + j / cache.pageSize());
      rows[j] = ((long) block * cache.kvHeads() + kvHead) * cache.pageSize() + j % cache.pageSize();
      double dot = 0;
      for (int i = 0; i < headDim; i++) {
        double key = element(cache.keys(), rows[j] * headDim + i);
        dot = add(dot, multiply(get(qkv, token, (long) head * headDim + i), key));
      }
      weights[j] = multiply(dot, shape.scale());
      if (shape.softCap() > 0) {
        weights[j] = multiply(shape.softCap(), tanh(divide(weights[j], shape.softCap())));
      }
      largest = Math.max(largest, weights[j]);
    }
    double total = 0;
    for (int j = first; j < visible; j++) {
      weights[j] = exp(subtract(weights[j], largest));
      total = add(total, weights[j]);
    }
    for (int i = 0; i < headDim; i++) {
      double sum = 0;
      for (int j = first; j < visible; j++) {
        double value = element(cache.values(), rows[j] * headDim + i);
        sum = add(sum, multiply(weights[j], value));
      }
      set(out, token, (long) head * headDim + i, divide(sum, total));
    }
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    long n = out.size(1);
    for (long t = 0; t < out.size(0); t++) {
      for (long c = 0; c < n; c++) {
        double gated = activate(activation, get(gateUp, t, c));
        set(out, t, c, multiply(gated, get(gateUp, t, n + c)));
      }
    }
  }

  private double activate(Activation activation, double x) {
    return switch (activation) {
      case SILU -> divide(x, add(1, exp(negate(x))));
      case GELU_TANH -> {
        double cube = multiply(multiply(multiply(0.044715, x), x), x);
        double inner = multiply(Math.sqrt(2 / Math.PI), add(x, cube));
        yield multiply(divide(x, 2), add(1, tanh(inner)));
      }
      case GELU -> multiply(divide(x, 2), add(1, erf(divide(x, Math.sqrt(2)))));
    };
  }

  private static Tensor copy(Tensor matrix) {
    MemorySegment copy = java.lang.foreign.Arena.ofAuto().allocate(matrix.bytes(), 64);
    copy.copyFrom(matrix.memory().asSlice(0, matrix.bytes()));
    return Tensor.of(copy, matrix.dtype(), matrix.shape());
  }

  private static double get(Tensor matrix, long row, long col) {
    return element(matrix, row * matrix.rowStride() + col);
  }

  private static double element(Tensor tensor, long index) {
    return Floats.get(tensor.memory(), tensor.dtype(), index);
  }

  private static void set(Tensor matrix, long row, long col, double value) {
    Floats.set(matrix.memory(), matrix.dtype(), row * matrix.rowStride() + col, (float) value);
  }

  @Override
  public String name() {
    return "counting";
  }

  @Override
  public DeviceInfo device() {
    return memory.device();
  }

  @Override
  public DeviceMemory allocateMemory() {
    return memory.allocateMemory();
  }

  @Override
  public Weight place(Weight weight, DeviceMemory into) {
    return memory.place(weight, into);
  }

  @Override
  public Tensor placeF32(Tensor host, DeviceMemory into) {
    return memory.placeF32(host, into);
  }

  @Override
  public void upload(MemorySegment host, Tensor device) {
    memory.upload(host, device);
  }

  @Override
  public void download(Tensor device, MemorySegment host) {
    memory.download(device, host);
  }

  @Override
  public void synchronize() {
    memory.synchronize();
  }

  @Override
  public void close() {
    memory.close();
  }
}
