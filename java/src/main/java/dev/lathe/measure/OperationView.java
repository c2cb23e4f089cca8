package dev.lathe.measure;

import dev.lathe.backend.Activation;
import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DrawParameters;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.measure.OperationNames.Name;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.Supplier;

/**
 * A view of another backend that knows each operation by its role in the model, and what work it
 * is. What is replayable runs one by one here: in a replay there are no operations to be seen.
 *
 * <p>Closing it leaves the other backend open.
 */
abstract class OperationView implements Backend {
  /**
   * What an operation has to do.
   *
   * @param bytes the least that it has to move ({@link Bytes})
   * @param arithmetic what it multiplies with, as far as the backend knows beforehand
   */
  record Cost(long flops, long bytes, Arithmetic arithmetic) {
    Cost(long flops, long bytes) {
      this(flops, bytes, Arithmetic.F32);
    }
  }

  private final Backend viewed;
  private final OperationNames names;

  /** The block of the last operation whose weights tell; the ones in between belong to it. */
  private int layer = -1;

  OperationView(Backend viewed, OperationNames names) {
    this.viewed = viewed;
    this.names = names;
  }

  /**
   * Carries out an operation.
   *
   * @param cost to be asked before it runs; for attention that waits for the device
   */
  abstract void carryOut(Name name, Supplier<Cost> cost, Runnable operation);

  private void operation(Name name, Supplier<Cost> cost, Runnable operation) {
    carryOut(name, cost, operation);
    layer = name.layer();
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    operation(
        new Name("embed", -1),
        () -> new Cost(0, Bytes.embed(tokens.size(0), table)),
        () -> viewed.embed(out, table, tokens));
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    operation(
        names.norm(weight, "rms_norm"),
        () -> new Cost(Flops.rmsNorm(x.size(0), x.size(1)), Bytes.rmsNorm(x.size(0), x.size(1))),
        () -> viewed.rmsNorm(out, x, weight, epsilon));
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear linear, Epilogue epilogue) {
    operation(
        names.linear(linear),
        () ->
            new Cost(
                Flops.linear(x.size(0), linear, epilogue),
                Bytes.linear(x.size(0), linear, epilogue),
                viewed.arithmetic(linear.weight())),
        () -> viewed.linear(out, x, linear, epilogue));
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    long tokens = batch.tokenCount();
    operation(
        new Name("rotate_and_append", layer),
        () ->
            new Cost(
                Flops.rotateAndAppend(tokens, shape),
                Bytes.rotateAndAppend(tokens, shape, cache.keys().dtype())),
        () -> viewed.rotateAndAppend(qkv, rotations, shape, cache, batch));
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    operation(
        new Name("attention", layer),
        () -> attentionCost(shape, cache, batch),
        () -> viewed.attention(out, qkv, shape, cache, batch));
  }

  private Cost attentionCost(AttentionShape shape, KvLayer cache, BatchTensors batch) {
    int[] starts = numbers(batch.queryStarts());
    int[] contexts = numbers(batch.contextLengths());
    long seen = 0;
    long cached = 0;
    for (int s = 0; s < contexts.length; s++) {
      int newTokens = starts[s + 1] - starts[s];
      if (newTokens > 0) {
        Flops.Work work = new Flops.Work(newTokens, contexts[s]);
        seen += work.contexts(shape.window());
        cached += work.cached(shape.window());
      }
    }
    long tokens = batch.tokenCount();
    return new Cost(
        Flops.attention(shape, tokens, seen),
        Bytes.attention(shape, tokens, cached, cache.keys().dtype()));
  }

  /** How much work attention is stands in the batch, on the device. */
  private int[] numbers(Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(tensor.bytes(), 8);
      viewed.download(tensor, host);
      return host.toArray(ValueLayout.JAVA_INT);
    }
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    operation(
        new Name("gate", layer),
        () -> new Cost(Flops.gate(out.elements(), activation), Bytes.gate(out.elements())),
        () -> viewed.gate(out, gateUp, activation));
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    operation(
        new Name("add_embedding", -1),
        () -> new Cost(Flops.perElement(out.elements()), Bytes.addEmbedding(rows.size(0), table)),
        () -> viewed.addEmbedding(out, table, rows));
  }

  @Override
  public void scale(Tensor x, float factor) {
    operation(
        new Name("scale", -1),
        () -> new Cost(Flops.perElement(x.elements()), Bytes.perElement(x.elements())),
        () -> viewed.scale(x, factor));
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    operation(
        names.norm(weight, "add_rms_norm"),
        () ->
            new Cost(
                Flops.addRmsNorm(x.size(0), x.size(1)), Bytes.addRmsNorm(x.size(0), x.size(1))),
        () -> viewed.addRmsNorm(out, x, weight, epsilon));
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    operation(
        names.norm(weight, "layer_norm"),
        () ->
            new Cost(Flops.layerNorm(x.size(0), x.size(1)), Bytes.layerNorm(x.size(0), x.size(1))),
        () -> viewed.layerNorm(out, x, weight, bias, epsilon));
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    operation(
        new Name("norm_heads", layer),
        () -> new Cost(Flops.normHeads(qkv.size(0), shape), Bytes.normHeads(qkv.size(0), shape)),
        () -> viewed.normHeads(qkv, query, key, shape, epsilon));
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    operation(
        new Name("append", layer),
        () -> new Cost(0, Bytes.append(batch.tokenCount(), shape, cache.keys().dtype())),
        () -> viewed.append(qkv, shape, cache, batch));
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    operation(
        new Name("activate", layer),
        () ->
            new Cost(Flops.activate(out.elements(), activation), Bytes.perElement(out.elements())),
        () -> viewed.activate(out, x, activation));
  }

  @Override
  public void softCap(Tensor x, float cap) {
    operation(
        new Name("soft_cap", -1),
        () -> new Cost(Flops.softCap(x.elements()), Bytes.perElement(x.elements())),
        () -> viewed.softCap(x, cap));
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    operation(
        new Name("gather_rows", -1),
        () -> new Cost(0, Bytes.gatherRows(rows.size(0), x.size(1))),
        () -> viewed.gatherRows(out, x, rows));
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    operation(
        new Name("argmax", -1),
        () -> new Cost(0, Bytes.argmax(x.size(0), x.size(1))),
        () -> viewed.argmax(out, x));
  }

  @Override
  public int sampledColumns() {
    return viewed.sampledColumns();
  }

  /** The least that it moves is what finding the largest does. */
  @Override
  public void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    operation(
        new Name("sample", -1),
        () -> new Cost(0, Bytes.argmax(logits.size(0), logits.size(1))),
        () -> viewed.sample(out, logits, draws, contexts));
  }

  @Override
  public String name() {
    return viewed.name();
  }

  @Override
  public DeviceInfo device() {
    return viewed.device();
  }

  @Override
  public DeviceMemory allocateMemory() {
    return viewed.allocateMemory();
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    return viewed.place(weight, memory);
  }

  @Override
  public Weight placeTable(Weight table, DeviceMemory memory) {
    return viewed.placeTable(table, memory);
  }

  @Override
  public Tensor placeF32(Tensor host, DeviceMemory memory) {
    return viewed.placeF32(host, memory);
  }

  @Override
  public void upload(MemorySegment host, Tensor device) {
    viewed.upload(host, device);
  }

  @Override
  public void download(Tensor device, MemorySegment host) {
    viewed.download(device, host);
  }

  @Override
  public void synchronize() {
    viewed.synchronize();
  }

  @Override
  public List<DType> cacheTypes() {
    return viewed.cacheTypes();
  }

  @Override
  public Arithmetic arithmetic(Weight weight) {
    return viewed.arithmetic(weight);
  }

  @Override
  public long rowStride(long tokens, long cols) {
    return viewed.rowStride(tokens, cols);
  }

  @Override
  public DType cacheType(DType model, boolean quantized) {
    return viewed.cacheType(model, quantized);
  }
}
