package dev.lathe.measure;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceInfo;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceTimer;
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
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongSupplier;

/**
 * A view of another backend that records what each operation took and what work it was. It waits
 * for the device before and after each, so operations cannot overlap and launches cannot hide: sums
 * of its times are more than an undisturbed pass takes, which the profiler measures beside it.
 *
 * <p>Closing it leaves the other backend open.
 */
public final class TimingBackend implements Backend {
  /**
   * An operation that was carried out.
   *
   * @param layer block that it belongs to; -1 where it belongs to none
   * @param startNanos on the clock of this backend
   * @param bytes the least that it had to move ({@link Bytes})
   */
  public record Event(
      String name, int layer, long startNanos, long nanos, long flops, long bytes) {}

  private static final int OVERHEAD_ROUNDS = 1001;

  private final Backend timed;
  private final OperationNames names;
  private final LongSupplier clock;

  /** Where the device has a clock, durations are its own, without what the host takes. */
  private final Optional<DeviceTimer> timer;

  private final List<Event> events = new ArrayList<>();

  /** The block of the last operation whose weights tell; the ones in between belong to it. */
  private int layer = -1;

  public TimingBackend(Backend timed, OperationNames names, LongSupplier nanoClock) {
    this.timed = timed;
    this.names = names;
    this.clock = nanoClock;
    this.timer = timed.newTimer();
  }

  /** Takes what was recorded since the last call. */
  public List<Event> takeEvents() {
    List<Event> taken = List.copyOf(events);
    events.clear();
    return taken;
  }

  /** What an operation that does nothing would be recorded with: median of many, nanoseconds. */
  public double overheadNanos() {
    double[] nanos = new double[OVERHEAD_ROUNDS];
    for (int i = 0; i < nanos.length; i++) {
      timed.synchronize();
      nanos[i] = nanosOf(() -> {});
    }
    return Statistics.median(nanos);
  }

  private long nanosOf(Runnable operation) {
    if (timer.isPresent()) {
      timer.get().start();
      operation.run();
      return timer.get().stopNanos();
    }
    long start = clock.getAsLong();
    operation.run();
    timed.synchronize();
    return clock.getAsLong() - start;
  }

  private void time(Name name, long flops, long bytes, Runnable operation) {
    timed.synchronize();
    long start = clock.getAsLong();
    long nanos = nanosOf(operation);
    layer = name.layer();
    events.add(new Event(name.operation(), name.layer(), start, nanos, flops, bytes));
  }

  @Override
  public void embed(Tensor out, Weight table, Tensor tokens) {
    time(
        new Name("embed", -1),
        0,
        Bytes.embed(tokens.size(0), table),
        () -> timed.embed(out, table, tokens));
  }

  @Override
  public void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    time(
        names.norm(weight, "rms_norm"),
        Flops.rmsNorm(x.size(0), x.size(1)),
        Bytes.rmsNorm(x.size(0), x.size(1)),
        () -> timed.rmsNorm(out, x, weight, epsilon));
  }

  @Override
  public void linear(Tensor out, Tensor x, Linear linear, Epilogue epilogue) {
    time(
        names.linear(linear),
        Flops.linear(x.size(0), linear, epilogue),
        Bytes.linear(x.size(0), linear, epilogue),
        () -> timed.linear(out, x, linear, epilogue));
  }

  @Override
  public void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    long tokens = batch.tokenCount();
    time(
        new Name("rotate_and_append", layer),
        Flops.rotateAndAppend(tokens, shape),
        Bytes.rotateAndAppend(tokens, shape, cache.keys().dtype()),
        () -> timed.rotateAndAppend(qkv, rotations, shape, cache, batch));
  }

  @Override
  public void attention(
      Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
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
    time(
        new Name("attention", layer),
        Flops.attention(shape, tokens, seen),
        Bytes.attention(shape, tokens, cached, cache.keys().dtype()),
        () -> timed.attention(out, qkv, shape, cache, batch));
  }

  /** How much work attention is stands in the batch, on the device; the copy is not timed. */
  private int[] numbers(Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(tensor.bytes(), 8);
      timed.download(tensor, host);
      return host.toArray(ValueLayout.JAVA_INT);
    }
  }

  @Override
  public void gate(Tensor out, Tensor gateUp, Activation activation) {
    time(
        new Name("gate", layer),
        Flops.gate(out.elements(), activation),
        Bytes.gate(out.elements()),
        () -> timed.gate(out, gateUp, activation));
  }

  @Override
  public void addEmbedding(Tensor out, Weight table, Tensor rows) {
    time(
        new Name("add_embedding", -1),
        Flops.perElement(out.elements()),
        Bytes.addEmbedding(rows.size(0), table),
        () -> timed.addEmbedding(out, table, rows));
  }

  @Override
  public void scale(Tensor x, float factor) {
    time(
        new Name("scale", -1),
        Flops.perElement(x.elements()),
        Bytes.perElement(x.elements()),
        () -> timed.scale(x, factor));
  }

  @Override
  public void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    time(
        names.norm(weight, "add_rms_norm"),
        Flops.addRmsNorm(x.size(0), x.size(1)),
        Bytes.addRmsNorm(x.size(0), x.size(1)),
        () -> timed.addRmsNorm(out, x, weight, epsilon));
  }

  @Override
  public void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    time(
        names.norm(weight, "layer_norm"),
        Flops.layerNorm(x.size(0), x.size(1)),
        Bytes.layerNorm(x.size(0), x.size(1)),
        () -> timed.layerNorm(out, x, weight, bias, epsilon));
  }

  @Override
  public void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    time(
        new Name("norm_heads", layer),
        Flops.normHeads(qkv.size(0), shape),
        Bytes.normHeads(qkv.size(0), shape),
        () -> timed.normHeads(qkv, query, key, shape, epsilon));
  }

  @Override
  public void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch) {
    time(
        new Name("append", layer),
        0,
        Bytes.append(batch.tokenCount(), shape, cache.keys().dtype()),
        () -> timed.append(qkv, shape, cache, batch));
  }

  @Override
  public void activate(Tensor out, Tensor x, Activation activation) {
    time(
        new Name("activate", layer),
        Flops.activate(out.elements(), activation),
        Bytes.perElement(out.elements()),
        () -> timed.activate(out, x, activation));
  }

  @Override
  public void softCap(Tensor x, float cap) {
    time(
        new Name("soft_cap", -1),
        Flops.softCap(x.elements()),
        Bytes.perElement(x.elements()),
        () -> timed.softCap(x, cap));
  }

  @Override
  public void gatherRows(Tensor out, Tensor x, Tensor rows) {
    time(
        new Name("gather_rows", -1),
        0,
        Bytes.gatherRows(rows.size(0), x.size(1)),
        () -> timed.gatherRows(out, x, rows));
  }

  @Override
  public void argmax(Tensor out, Tensor x) {
    time(new Name("argmax", -1), 0, Bytes.argmax(x.size(0), x.size(1)), () -> timed.argmax(out, x));
  }

  @Override
  public int sampledColumns() {
    return timed.sampledColumns();
  }

  /** The least that it moves is what finding the largest does. */
  @Override
  public void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    time(
        new Name("sample", -1),
        0,
        Bytes.argmax(logits.size(0), logits.size(1)),
        () -> timed.sample(out, logits, draws, contexts));
  }

  @Override
  public String name() {
    return timed.name();
  }

  @Override
  public DeviceInfo device() {
    return timed.device();
  }

  @Override
  public DeviceMemory allocateMemory() {
    return timed.allocateMemory();
  }

  @Override
  public Weight place(Weight weight, DeviceMemory memory) {
    return timed.place(weight, memory);
  }

  @Override
  public Tensor placeF32(Tensor host, DeviceMemory memory) {
    return timed.placeF32(host, memory);
  }

  @Override
  public void upload(MemorySegment host, Tensor device) {
    timed.upload(host, device);
  }

  @Override
  public void download(Tensor device, MemorySegment host) {
    timed.download(device, host);
  }

  @Override
  public void synchronize() {
    timed.synchronize();
  }

  @Override
  public List<DType> cacheTypes() {
    return timed.cacheTypes();
  }

  @Override
  public DType cacheType(DType model) {
    return timed.cacheType(model);
  }

  @Override
  public void close() {
    events.clear();
    timer.ifPresent(DeviceTimer::close);
  }
}
