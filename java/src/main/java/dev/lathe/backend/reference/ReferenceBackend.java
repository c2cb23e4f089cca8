package dev.lathe.backend.reference;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.Checks;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DrawParameters;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.HostInfo;
import dev.lathe.backend.HostMemory;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.KvRows;
import dev.lathe.backend.Linear;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.hipparchus.special.Erf;

/**
 * Each operation as its formula reads: plain loops, double precision inside, rounded once where the
 * result is stored. Slow, and meant to be believed: the other backends are tested against it. Works
 * on host memory and returns when the work is done.
 *
 * <p>It also checks what is in the index tensors (tokens, slots, block tables), not only their
 * shapes.
 */
public final class ReferenceBackend implements Backend {

  @Override
  public String name() {
    return "reference";
  }

  @Override
  public DeviceInfo device() {
    return new DeviceInfo("plain Java", HostInfo.memoryBytes(), 1, "double");
  }

  @Override
  public DeviceMemory allocateMemory() {
    return new HostMemory();
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    return weight;
  }

  @Override
  public Tensor placeF32(Tensor host, DeviceMemory memory) {
    Tensor placed = memory.tensor(DType.F32, host.shape());
    Tensor source = host.reshape(host.elements());
    for (long i = 0; i < source.elements(); i++) {
      set(placed, i, Floats.get(source.memory(), source.dtype(), i));
    }
    return placed;
  }

  @Override
  public void upload(MemorySegment host, Tensor device) {
    Checks.transfer(host.byteSize(), device);
    device.memory().asSlice(0, device.bytes()).copyFrom(host);
  }

  @Override
  public void download(Tensor device, MemorySegment host) {
    Checks.transfer(host.byteSize(), device);
    host.copyFrom(device.memory().asSlice(0, device.bytes()));
  }

  @Override
  public void synchronize() {
    // Every operation is done when it returns.
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    Checks.embed(out, table, tokens);
    Checks.below("tokens", tokens, table.rows());
    double[] row = new double[Math.toIntExact(table.cols())];
    for (long t = 0; t < out.size(0); t++) {
      WeightRows.read(table, index(tokens, t), row);
      for (int c = 0; c < row.length; c++) {
        set(out, t, c, row[c]);
      }
    }
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.rmsNorm(out, x, weight);
    long cols = x.size(1);
    for (long r = 0; r < x.size(0); r++) {
      double sumOfSquares = 0;
      for (long c = 0; c < cols; c++) {
        sumOfSquares += get(x, r, c) * get(x, r, c);
      }
      double root = Math.sqrt(sumOfSquares / cols + epsilon);
      for (long c = 0; c < cols; c++) {
        set(out, r, c, get(x, r, c) / root * get(weight, c));
      }
    }
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Checks.linear(out, x, layer);
    layer.forEachPart((part, from, to) -> {
      Tensor columns = out.columns(from, to);
      if (TokenQuantization.isFor(part.weight())) {
        int8Linear(columns, x, part, epilogue);
      } else {
        floatLinear(columns, x, part, epilogue);
      }
    });
  }

  private static void floatLinear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    double[] weights = new double[Math.toIntExact(layer.inputs())];
    for (long o = 0; o < layer.outputs(); o++) {
      WeightRows.read(layer.weight(), o, weights);
      double bias = layer.bias().isPresent() ? get(layer.bias().get(), o) : 0;
      for (long t = 0; t < x.size(0); t++) {
        double sum = epilogue == Epilogue.ADD ? get(out, t, o) : 0;
        for (int i = 0; i < weights.length; i++) {
          sum += get(x, t, i) * weights[i];
        }
        set(out, t, o, sum + bias);
      }
    }
  }

  /** Sums of integers, exact, times both scales. */
  private static void int8Linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue) {
    Weight.Int8 weight = (Weight.Int8) layer.weight();
    for (long t = 0; t < x.size(0); t++) {
      TokenQuantization token = TokenQuantization.of(x, t);
      for (long o = 0; o < layer.outputs(); o++) {
        long sum = 0;
        for (int i = 0; i < token.codes().length; i++) {
          long at = o * weight.values().rowStride() + i;
          sum += (long) token.codes()[i] * weight.values().memory().get(ValueLayout.JAVA_BYTE, at);
        }
        double product = (double) sum * token.scale() * get(weight.scales(), o);
        double bias = layer.bias().isPresent() ? get(layer.bias().get(), o) : 0;
        set(out, t, o, (epilogue == Epilogue.ADD ? get(out, t, o) : 0) + product + bias);
      }
    }
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.rotateAndAppend(qkv, rotations, shape, cache, batch);
    Checks.below("positions", batch.positions(), rotations.size(0));
    Checks.below("slots", batch.slots(), cache.pages() * cache.pageSize());
    int headDim = shape.headDim();
    for (long t = 0; t < batch.tokenCount(); t++) {
      int position = index(batch.positions(), t);
      for (int head = 0; head < shape.heads() + shape.kvHeads(); head++) {
        rotate(qkv, t, (long) head * headDim, rotations, position, headDim);
      }
    }
    append(qkv, shape, cache, batch);
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.append(qkv, shape, cache, batch);
    Checks.below("slots", batch.slots(), cache.pages() * cache.pageSize());
    int headDim = shape.headDim();
    long keyColumns = (long) shape.heads() * headDim;
    long valueColumns = keyColumns + (long) shape.kvHeads() * headDim;
    float[] row = new float[headDim];
    for (long t = 0; t < batch.tokenCount(); t++) {
      int slot = index(batch.slots(), t);
      for (int head = 0; head < shape.kvHeads(); head++) {
        int page = slot / cache.pageSize();
        int line = slot % cache.pageSize();
        long column = (long) head * headDim;
        for (int i = 0; i < headDim; i++) {
          row[i] = (float) get(qkv, t, keyColumns + column + i);
        }
        KvRows.write(cache, cache.keys(), page, head, line, row);
        for (int i = 0; i < headDim; i++) {
          row[i] = (float) get(qkv, t, valueColumns + column + i);
        }
        KvRows.write(cache, cache.values(), page, head, line, row);
      }
    }
  }

  /** Turns each pair (i, i + headDim / 2) of one head by its angle. */
  private static void rotate(
      Tensor qkv, long t, long firstColumn, Tensor rotations, int position, int headDim) {
    int half = headDim / 2;
    for (int i = 0; i < half; i++) {
      double cos = get(rotations, position, i);
      double sin = get(rotations, position, half + i);
      double first = get(qkv, t, firstColumn + i);
      double second = get(qkv, t, firstColumn + half + i);
      set(qkv, t, firstColumn + i, first * cos - second * sin);
      set(qkv, t, firstColumn + half + i, second * cos + first * sin);
    }
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    Checks.attention(out, qkv, shape, cache, batch);
    Checks.below("blocks", batch.blocks(), cache.pages());
    for (long s = 0; s < batch.sequenceCount(); s++) {
      int firstToken = index(batch.queryStarts(), s);
      int newTokens = index(batch.queryStarts(), s + 1) - firstToken;
      int context = index(batch.contextLengths(), s);
      int firstBlock = index(batch.blockStarts(), s);
      int blocks = index(batch.blockStarts(), s + 1) - firstBlock;
      if (newTokens < 0
          || newTokens > context
          || firstToken + newTokens > batch.tokenCount()
          || (long) blocks * cache.pageSize() < context) {
        throw new IllegalArgumentException(
            "attention: sequence %d has %d new tokens, a context of %d and %d pages of %d"
                .formatted(s, newTokens, context, blocks, cache.pageSize()));
      }
      Tensor pages = batch.blocks().rows(firstBlock, firstBlock + blocks);
      for (int i = 0; i < newTokens; i++) {
        int visible = context - newTokens + i + 1;
        for (int head = 0; head < shape.heads(); head++) {
          attend(out, qkv, shape, cache, pages, firstToken + i, head, visible);
        }
      }
    }
  }

  /** One query head of one token, the {@code visible}th of its sequence. */
  private static void attend(
      Tensor out,
      Tensor qkv,
      AttentionShape shape,
      KvLayer cache,
      Tensor pages,
      long token,
      int head,
      int visible) {
    int headDim = shape.headDim();
    long firstColumn = (long) head * headDim;
    int kvHead = head / (shape.heads() / shape.kvHeads());
    int first = shape.firstVisible(visible);

    float[] row = new float[headDim];
    double[] probabilities = new double[visible];
    double largest = Double.NEGATIVE_INFINITY;
    for (int j = first; j < visible; j++) {
      int page = index(pages, j / cache.pageSize());
      KvRows.read(cache, cache.keys(), page, kvHead, j % cache.pageSize(), row);
      double dot = 0;
      for (int i = 0; i < headDim; i++) {
        dot += get(qkv, token, firstColumn + i) * row[i];
      }
      probabilities[j] = ReferenceRows.cap(dot * shape.scale(), shape.softCap());
      largest = Math.max(largest, probabilities[j]);
    }
    double total = 0;
    for (int j = first; j < visible; j++) {
      probabilities[j] = Math.exp(probabilities[j] - largest);
      total += probabilities[j];
    }
    double[] sums = new double[headDim];
    for (int j = first; j < visible; j++) {
      int page = index(pages, j / cache.pageSize());
      KvRows.read(cache, cache.values(), page, kvHead, j % cache.pageSize(), row);
      for (int i = 0; i < headDim; i++) {
        sums[i] += probabilities[j] * row[i];
      }
    }
    for (int i = 0; i < headDim; i++) {
      set(out, token, firstColumn + i, sums[i] / total);
    }
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    Checks.gate(out, gateUp);
    long n = out.size(1);
    for (long t = 0; t < out.size(0); t++) {
      for (long c = 0; c < n; c++) {
        set(out, t, c, activate(activation, get(gateUp, t, c)) * get(gateUp, t, n + c));
      }
    }
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    Checks.addEmbedding(out, table, rows);
    Checks.below("rows", rows, table.rows());
    double[] row = new double[Math.toIntExact(table.cols())];
    for (long t = 0; t < out.size(0); t++) {
      WeightRows.read(table, index(rows, t), row);
      for (int c = 0; c < row.length; c++) {
        set(out, t, c, get(out, t, c) + row[c]);
      }
    }
  }

  @Override
  public void scale(Tensor x, float factor) {
    Checks.scale(x);
    ReferenceRows.replace(x, x, value -> value * factor);
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.addRmsNorm(out, x, weight);
    ReferenceRows.addRmsNorm(out, x, weight, epsilon);
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    Checks.layerNorm(out, x, weight, bias);
    ReferenceRows.layerNorm(out, x, weight, bias, epsilon);
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    Checks.normHeads(qkv, query, key, shape);
    ReferenceRows.normHeads(qkv, query, key, shape, epsilon);
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    Checks.activate(out, x);
    ReferenceRows.replace(out, x, value -> activate(activation, value));
  }

  @Override
  public void softCap(Tensor x, float cap) {
    Checks.softCap(x, cap);
    ReferenceRows.replace(x, x, value -> ReferenceRows.cap(value, cap));
  }

  private static double activate(Activation activation, double x) {
    return switch (activation) {
      case SILU -> x / (1 + Math.exp(-x));
      case GELU_TANH ->
          x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
      case GELU -> x / 2 * Erf.erfc(-x / Math.sqrt(2));
    };
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    Checks.gatherRows(out, x, rows);
    Checks.below("rows", rows, x.size(0));
    for (long i = 0; i < out.size(0); i++) {
      for (long c = 0; c < x.size(1); c++) {
        set(out, i, c, get(x, index(rows, i), c));
      }
    }
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    Checks.argmax(out, x);
    for (long r = 0; r < x.size(0); r++) {
      int largest = 0;
      for (int c = 1; c < x.size(1); c++) {
        if (get(x, r, c) > get(x, r, largest)) {
          largest = c;
        }
      }
      out.memory().set(ValueLayout.JAVA_INT_UNALIGNED, r * 4, largest);
    }
  }

  @Override
  public int sampledColumns() {
    return Integer.MAX_VALUE;
  }

  @Override
  public void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    Checks.sample(out, logits, draws, contexts, sampledColumns());
    for (int r = 0; r < draws.size(); r++) {
      float[] row = new float[Math.toIntExact(logits.size(1))];
      Floats.readRow(logits, r, row);
      int token = ReferenceSampler.draw(draws.get(r), row, contexts.get(r));
      out.memory().set(ValueLayout.JAVA_INT_UNALIGNED, r * 4L, token);
      for (int c = 0; c < row.length; c++) {
        set(logits, r, c, row[c]);
      }
    }
  }

  @Override
  public List<DType> cacheTypes() {
    return List.of(DType.F32, DType.F16, DType.I8);
  }

  @Override
  public void close() {
    // Holds nothing.
  }

  private static int index(Tensor indices, long i) {
    return indices.memory().get(ValueLayout.JAVA_INT_UNALIGNED, i * 4);
  }

  static double get(Tensor matrix, long row, long col) {
    return get(matrix, row * matrix.rowStride() + col);
  }

  static double get(Tensor tensor, long index) {
    return Floats.get(tensor.memory(), tensor.dtype(), index);
  }

  static void set(Tensor matrix, long row, long col, double value) {
    set(matrix, row * matrix.rowStride() + col, value);
  }

  static void set(Tensor tensor, long index, double value) {
    Floats.set(tensor.memory(), tensor.dtype(), index, (float) value);
  }
}
