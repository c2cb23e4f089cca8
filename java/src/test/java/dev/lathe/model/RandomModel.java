package dev.lathe.model;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * A small decoder of any architecture with random weights, in memory. Which tensors it has is told
 * tensor by tensor, as its checkpoint names them.
 */
public final class RandomModel implements Checkpoint {
  private final Arena arena = Arena.ofShared();
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  private final ObjectNode config;
  private final SplittableRandom random;

  RandomModel(long seed, String config) {
    this.config = (ObjectNode) JsonMapper.builder().build().readTree(config);
    this.random = new SplittableRandom(seed);
  }

  /**
   * Values around {@code mean}; those of a matrix so that a product keeps the size of its input.
   */
  RandomModel add(String name, double mean, long... shape) {
    MemorySegment memory = arena.allocate(Tensor.elements(shape) * 4, 64);
    double deviation =
        shape.length == 1 ? 0.3 : name.contains("emb") || name.startsWith("w") ? 1 : 0;
    if (deviation == 0) {
      deviation = 1.5 / Math.sqrt(Math.min(shape[0], shape[1]));
    }
    for (long i = 0; i < Tensor.elements(shape); i++) {
      double value = mean + deviation * random.nextGaussian();
      memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) value);
    }
    tensors.put(name, Tensor.of(memory, DType.F32, shape));
    return this;
  }

  void fill(String name, float value) {
    Tensor tensor = tensor(name);
    for (long i = 0; i < tensor.elements(); i++) {
      tensor.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
  }

  void rename(String from, String to) {
    tensors.put(to, tensors.remove(from));
  }

  @Override
  public Path path() {
    return Path.of("random");
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    Map<String, TensorInfo> infos = new LinkedHashMap<>();
    tensors.forEach((name, t) -> infos.put(name, TensorInfo.of(name, t.dtype(), t.shape())));
    return infos;
  }

  @Override
  public Tensor tensor(String name) {
    if (!tensors.containsKey(name)) {
      throw new InvalidInputException("random: there is no tensor " + name);
    }
    return tensors.get(name);
  }

  @Override
  public Weight weight(String module) {
    return new Weight.Dense(tensor(module + ".weight"));
  }

  @Override
  public boolean hasWeight(String module) {
    return tensors.containsKey(module + ".weight");
  }

  @Override
  public ObjectNode config() {
    return config;
  }

  @Override
  public Optional<Path> file(String name) {
    return Optional.empty();
  }

  @Override
  public Lineage lineage() {
    return Lineage.NONE;
  }

  @Override
  public long fileBytes() {
    return tensors.values().stream().mapToLong(Tensor::bytes).sum();
  }

  @Override
  public String hash() {
    return "random";
  }

  @Override
  public void close() {
    arena.close();
  }
}
