package dev.lathe.model;

import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;

/**
 * The activations of one forward pass and the batch's numbers on the device. It grows to the
 * largest batch that it has seen and is reused by every step.
 */
final class Workspace implements AutoCloseable {
  /** Arrays of a batch. */
  private static final int ARRAYS = 8;

  /** Where the block tables are among the batch's arrays. */
  private static final int BLOCKS = 6;

  /** Rows that the table of rotations has at least: growing it makes steps differ. */
  private static final int FEW_ROTATIONS = 256;

  private final Backend backend;
  private final ModelConfig config;

  private DeviceMemory memory;
  private Buffers full;
  private Activations views;
  private Tensor numbers;

  /** Of the last batch: ints set aside for each array, all that was uploaded, and views of it. */
  private final int[] rooms = new int[ARRAYS];

  private Tensor uploaded;
  private BatchTensors uploadedNumbers;
  private Arena stagingArena;
  private MemorySegment staging;
  private int tokenCapacity;
  private int numberCapacity;
  private DeviceMemory rotationMemory;
  private Tensor rotations;

  /** Matrices of [tokens, …] F32, and {@code selected} of [logitRows, hidden]. */
  record Activations(
      Tensor x,
      Tensor h,
      Tensor queryKeyValue,
      Tensor attention,
      Tensor gateUp,
      Tensor gated,
      Tensor selected) {}

  /** Where they lie, in the same order: as many floats as the largest batch needs. */
  private static final class Buffers {
    private final List<Tensor> floats;
    private final long[] cols;

    private Buffers(List<Tensor> floats, long[] cols) {
      this.floats = floats;
      this.cols = cols;
    }

    static Buffers allocate(Backend backend, DeviceMemory memory, long tokens, long... cols) {
      List<Tensor> floats = new ArrayList<>();
      for (long c : cols) {
        long most =
            LongStream.rangeClosed(1, tokens)
                .map(rows -> rows * backend.rowStride(rows, c))
                .max()
                .orElse(0);
        floats.add(memory.tensor(DType.F32, most));
      }
      return new Buffers(floats, cols);
    }

    Tensor rows(Backend backend, int index, long rows) {
      long stride = backend.rowStride(rows, cols[index]);
      return floats.get(index).rows(0, rows * stride).reshape(rows, stride).columns(0, cols[index]);
    }

    Activations views(Backend backend, long tokens, long logitRows) {
      return new Activations(
          rows(backend, 0, tokens),
          rows(backend, 1, tokens),
          rows(backend, 2, tokens),
          rows(backend, 3, tokens),
          rows(backend, 4, tokens),
          rows(backend, 5, tokens),
          rows(backend, 6, logitRows));
    }
  }

  Workspace(Backend backend, ModelConfig config) {
    this.backend = backend;
    this.config = config;
  }

  /** Activations of just the size that the batch needs. */
  Activations activations(Batch batch) {
    int tokens = batch.tokenCount();
    if (tokens > tokenCapacity) {
      growActivations(Math.max(tokens, Math.min(2 * tokenCapacity, config.contextLength())));
    }
    if (views == null
        || views.x().size(0) != tokens
        || views.selected().size(0) != batch.logitRowCount()) {
      views = full.views(backend, tokens, batch.logitRowCount());
    }
    return views;
  }

  private void growActivations(int tokens) {
    int queries = config.heads() * config.headDim();
    DeviceMemory larger = backend.allocateMemory();
    try {
      full =
          Buffers.allocate(
              backend,
              larger,
              tokens,
              config.hidden(),
              config.hidden(),
              config.queryKeyValueColumns(),
              queries,
              config.gateUpColumns(),
              config.intermediate(),
              config.hidden());
    } catch (RuntimeException | Error e) {
      larger.close();
      throw e;
    }
    if (memory != null) {
      backend.synchronize();
      memory.close();
    }
    memory = larger;
    views = null;
    tokenCapacity = tokens;
  }

  /** The batch's numbers on the device: packed into one buffer, so that one copy brings them. */
  BatchTensors upload(Batch batch) {
    Batch.Ints[] arrays = batch.arrays();
    int total = 0;
    for (int i = 0; i < arrays.length; i++) {
      total += align(room(batch, arrays, i));
    }
    if (total > numberCapacity) {
      growNumbers(Math.max(total, 2 * numberCapacity));
    }
    int at = 0;
    boolean same = uploaded != null;
    for (int i = 0; i < arrays.length; i++) {
      int size = arrays[i].size;
      int room = room(batch, arrays, i);
      MemorySegment.copy(arrays[i].values, 0, staging, ValueLayout.JAVA_INT, 4L * at, size);
      for (int unused = at + size; unused < at + align(room); unused++) {
        staging.setAtIndex(ValueLayout.JAVA_INT, unused, 0);
      }
      same &= rooms[i] == room;
      rooms[i] = room;
      at += align(room);
    }
    if (!same) {
      uploaded = numbers.rows(0, total);
      uploadedNumbers = views();
    }
    backend.upload(staging.asSlice(0, 4L * total), uploaded);
    return uploadedNumbers;
  }

  /** The arrays within the uploaded numbers. */
  private BatchTensors views() {
    Tensor[] placed = new Tensor[ARRAYS];
    int at = 0;
    for (int i = 0; i < ARRAYS; i++) {
      placed[i] = numbers.rows(at, at + rooms[i]);
      at += align(rooms[i]);
    }
    return new BatchTensors(
        placed[0], placed[1], placed[2], placed[3], placed[4], placed[5], placed[6], placed[7]);
  }

  /**
   * Ints set aside for an array. Decode steps have room for more pages than are in use, so that
   * many steps, one after another, have the same shapes in the same places.
   */
  private static int room(Batch batch, Batch.Ints[] arrays, int index) {
    int size = arrays[index].size;
    return batch.isDecode() && index == BLOCKS ? Math.max(16, roundUpToPowerOfTwo(size)) : size;
  }

  private static int roundUpToPowerOfTwo(int value) {
    return value <= 1 ? 1 : Math.multiplyExact(2, Integer.highestOneBit(value - 1));
  }

  /** Each array starts at a multiple of 64 bytes. */
  private static int align(int ints) {
    return (ints + 15) & ~15;
  }

  private DeviceMemory numberMemory;

  private void growNumbers(int ints) {
    if (numberMemory != null) {
      backend.synchronize();
      numberMemory.close();
      stagingArena.close();
    }
    uploaded = null;
    numberMemory = backend.allocateMemory();
    numbers = numberMemory.tensor(DType.I32, ints);
    stagingArena = Arena.ofShared();
    staging = stagingArena.allocate(4L * ints, 64);
    numberCapacity = ints;
  }

  /**
   * Cosines and sines of at least so many rows of {@link Rope}: [rows, headDim] F32, the cosines of
   * the headDim / 2 angles first, both times the rotation's magnitude.
   */
  Tensor rotations(Rope rope, int needed) {
    if (rotations == null || rotations.size(0) < needed) {
      int most = rope.firstRow(config.contextLength()) + config.contextLength();
      int rows = Math.min(most, Integer.highestOneBit(2 * needed - 1));
      rows = Math.max(rows, Math.max(needed, Math.min(most, FEW_ROTATIONS)));
      DeviceMemory larger = backend.allocateMemory();
      Tensor table = larger.tensor(DType.F32, rows, config.headDim());
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment host = arena.allocate(table.bytes(), 64);
        fillRotations(host, rope, rows);
        backend.upload(host, table);
      }
      if (rotationMemory != null) {
        backend.synchronize();
        rotationMemory.close();
      }
      rotationMemory = larger;
      rotations = table;
    }
    return rotations;
  }

  private void fillRotations(MemorySegment table, Rope rope, int rows) {
    int longest = rope.firstRow(config.contextLength());
    int shorts = longest == 0 ? rows : Math.min(rows, longest);
    for (int i = 0; i < config.headDim() / 2; i++) {
      fillPair(table, i, 0, shorts, rope.frequency(i, config.headDim(), shorts), rope.magnitude());
      double frequency = rope.frequency(i, config.headDim(), config.contextLength());
      fillPair(table, i, shorts, rows, frequency, rope.magnitude());
    }
  }

  /** The angles of one pair in rows {@code from} to {@code to}, the first of them position 0. */
  private void fillPair(
      MemorySegment table, int pair, int from, int to, double frequency, double magnitude) {
    int half = config.headDim() / 2;
    for (int row = from; row < to; row++) {
      double angle = (row - from) * frequency;
      long start = (long) row * config.headDim();
      table.setAtIndex(ValueLayout.JAVA_FLOAT, start + pair, (float) (magnitude * Math.cos(angle)));
      table.setAtIndex(
          ValueLayout.JAVA_FLOAT, start + half + pair, (float) (magnitude * Math.sin(angle)));
    }
  }

  /**
   * What the operations of a decode step depend on besides the cache: equal for two steps of this
   * workspace that differ in nothing but numbers.
   */
  Object layout(Batch batch) {
    return new Layout(
        full, numbers, rotations, batch.tokenCount(), room(batch, batch.arrays(), BLOCKS));
  }

  /** Memory by its identity: it may hold the same floats at another time. */
  private record Layout(
      Buffers activations, Tensor numbers, Tensor rotations, int tokens, int blocks) {
    @Override
    public int hashCode() {
      return 31 * (31 * System.identityHashCode(activations) + tokens) + blocks;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Layout layout
          && activations == layout.activations
          && numbers == layout.numbers
          && rotations == layout.rotations
          && tokens == layout.tokens
          && blocks == layout.blocks;
    }
  }

  /** Bytes of activations, as allocated. */
  long activationBytes() {
    return memory == null ? 0 : memory.bytes();
  }

  @Override
  public void close() {
    for (DeviceMemory owned : new DeviceMemory[] {memory, numberMemory, rotationMemory}) {
      if (owned != null) {
        owned.close();
      }
    }
    if (stagingArena != null) {
      stagingArena.close();
    }
    memory = null;
    numberMemory = null;
    uploaded = null;
    rotationMemory = null;
    stagingArena = null;
    tokenCapacity = 0;
    numberCapacity = 0;
    rotations = null;
  }
}
