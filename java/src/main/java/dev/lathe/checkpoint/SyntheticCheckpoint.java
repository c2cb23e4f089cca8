package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.UnfilledMemory;
import dev.lathe.tensor.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/**
 * Random weights in the shape of a public model, made when they are asked for: {@code
 * synthetic:SHAPE[:FORMAT]}. For measuring speed and memory without a download; what it generates
 * means nothing.
 */
final class SyntheticCheckpoint implements Checkpoint {
  private static final String PREFIX = "synthetic:";
  private static final List<String> FORMATS = List.of("bf16", "f32", "int8", "w8a8");
  private static final long SEED = 0x1a7e;

  /** INT8 weights: 127 steps are four standard deviations. */
  private static final double INT8_STEPS_PER_DEVIATION = 127 / 4.0;

  private final String name;
  private final String format;
  private final ObjectNode config;
  private final Map<String, TensorInfo> infos = new LinkedHashMap<>();
  private final Map<String, SyntheticTensors.Planned> plannedOf = new HashMap<>();
  private final Map<String, Tensor> made = new LinkedHashMap<>();
  private final Map<String, Weight> weights = new LinkedHashMap<>();
  private final Arena arena = Arena.ofShared();
  private final WeightReader reader;
  private Path folder;

  private SyntheticCheckpoint(String name, String shape, String format) {
    this.name = name;
    this.format = format;
    this.config = SyntheticShapes.config(shape);
    for (SyntheticTensors.Planned planned : SyntheticTensors.of(config)) {
      plannedOf.put(planned.name(), planned);
      parts(planned).forEach(part -> infos.put(part.name(), part));
    }
    this.reader =
        new WeightReader(
            infos,
            this::tensor,
            module -> format.equals("w8a8") && StorageRecord.isInnerLayer(module),
            arena,
            name);
  }

  /** True where a MODEL is the name of a synthetic one. */
  static boolean isName(String model) {
    return model.startsWith(PREFIX);
  }

  /**
   * The model of a name.
   *
   * @throws InvalidInputException if there is no such shape or format; lists those there are
   */
  static SyntheticCheckpoint open(String name) {
    String[] parts = name.substring(PREFIX.length()).split(":", -1);
    String format = parts.length > 1 ? parts[1] : FORMATS.getFirst();
    if (parts.length > 2 || !FORMATS.contains(format)) {
      throw new InvalidInputException(
          "%s: a synthetic model is synthetic:SHAPE[:FORMAT], FORMAT one of %s"
              .formatted(name, String.join(", ", FORMATS)));
    }
    return new SyntheticCheckpoint(name, parts[0], format);
  }

  @Override
  public Path path() {
    return Path.of(name);
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    return Collections.unmodifiableMap(infos);
  }

  @Override
  public synchronized Tensor tensor(String tensorName) {
    TensorInfo info = infos.get(tensorName);
    if (info == null) {
      throw new InvalidInputException("%s has no tensor %s".formatted(name, tensorName));
    }
    return made.computeIfAbsent(tensorName, missing -> make(info));
  }

  /** A tensor, or the tensors that a matrix is stored as. */
  private List<TensorInfo> parts(SyntheticTensors.Planned planned) {
    DType dtype = format.equals("f32") ? DType.F32 : DType.BF16;
    return switch (planned.kind()) {
      case NORM, BIAS -> List.of(TensorInfo.of(planned.name(), DType.F32, planned.shape()));
      case POSITIONS -> List.of(TensorInfo.of(planned.name(), dtype, planned.shape()));
      case MATRIX -> {
        String module =
            planned.name().substring(0, planned.name().length() - WeightFormat.WEIGHT.length());
        long rows = planned.shape()[0];
        long cols = planned.shape()[1];
        yield format.equals("int8") || format.equals("w8a8")
            ? WeightFormat.int8(module, rows, cols, 1, false, DType.BF16)
            : WeightFormat.dense(module, rows, cols, dtype);
      }
    };
  }

  private Tensor make(TensorInfo info) {
    MemorySegment memory = UnfilledMemory.allocate(info.bytes(), arena);
    Tensor tensor = Tensor.of(memory, info.dtype(), info.dimensions());
    double deviation = 1 / Math.sqrt(SyntheticTensors.hidden(config));
    if (info.name().endsWith(WeightFormat.SCALE)) {
      constant(tensor, (float) (deviation / INT8_STEPS_PER_DEVIATION));
      return tensor;
    }
    SyntheticTensors.Planned planned = plannedOf.get(info.name());
    if (planned.kind() == SyntheticTensors.Kind.NORM) {
      constant(tensor, planned.center());
    } else {
      boolean steps = info.dtype() == DType.I8;
      RandomWeights.fill(
          tensor,
          steps ? INT8_STEPS_PER_DEVIATION : deviation,
          SEED ^ ((long) info.name().hashCode() << 32));
    }
    return tensor;
  }

  private static void constant(Tensor tensor, float value) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, value);
    }
  }

  @Override
  public synchronized Weight weight(String module) {
    return weights.computeIfAbsent(module, reader::read);
  }

  @Override
  public boolean hasWeight(String module) {
    return infos.containsKey(module + WeightFormat.WEIGHT);
  }

  @Override
  public ObjectNode config() {
    return config.deepCopy();
  }

  /** Only {@code tokenizer.json}, written to a folder that is removed when this is closed. */
  @Override
  public synchronized Optional<Path> file(String fileName) {
    if (!fileName.equals("tokenizer.json")) {
      return Optional.empty();
    }
    try {
      if (folder == null) {
        folder = Files.createTempDirectory("lathe-synthetic");
        Files.writeString(
            folder.resolve(fileName), ByteLevelTokenizer.json(config.get("vocab_size").intValue()));
      }
      return Optional.of(folder.resolve(fileName));
    } catch (IOException e) {
      throw new LatheException(
          LatheException.FAILED, "the tokenizer of %s cannot be written: %s".formatted(name, e), e);
    }
  }

  @Override
  public Lineage lineage() {
    return Lineage.NONE;
  }

  /** Bytes that the tensors have in all, made or not. */
  @Override
  public long fileBytes() {
    return infos.values().stream().mapToLong(TensorInfo::bytes).sum();
  }

  /** The name, which says all that the weights depend on. */
  @Override
  public String hash() {
    return name.split(":", -1).length > 2 ? name : name + ":" + format;
  }

  @Override
  public synchronized void close() {
    arena.close();
    if (folder != null) {
      try {
        Files.deleteIfExists(folder.resolve("tokenizer.json"));
        Files.deleteIfExists(folder);
      } catch (IOException e) {
        throw new LatheException(
            LatheException.FAILED, folder + " cannot be removed: " + e.getMessage(), e);
      }
    }
  }
}
