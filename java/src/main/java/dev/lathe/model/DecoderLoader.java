package dev.lathe.model;

import static dev.lathe.model.Architecture.Trait.GPT2_STYLE;
import static dev.lathe.model.Architecture.Trait.HEAD_NORMS;
import static dev.lathe.model.Architecture.Trait.NORM_PLUS_ONE;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.HostMemory;
import dev.lathe.backend.Linear;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.DecoderWeights.HeadNorms;
import dev.lathe.model.DecoderWeights.Norm;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Finds a decoder's weights in a checkpoint by their Hugging Face names, and checks every shape.
 * Matrices are placed as they lie in the file, except those that GPT-2 stores transposed, which are
 * copied; norms and biases are small and become F32.
 */
final class DecoderLoader {
  private final Checkpoint checkpoint;
  private final ModelConfig config;
  private final Backend backend;
  private final DeviceMemory memory;

  /** Copies of transposed matrices, which the backend may multiply as they lie. */
  private final HostMemory copies;

  private final Architecture architecture;
  private final TensorNames names;

  /** Bytes of what was placed, the tied matrix once. */
  private long bytes;

  DecoderLoader(
      Checkpoint checkpoint,
      ModelConfig config,
      Backend backend,
      DeviceMemory memory,
      HostMemory copies) {
    this.checkpoint = checkpoint;
    this.config = config;
    this.backend = backend;
    this.memory = memory;
    this.copies = copies;
    this.architecture = Architecture.of(config.architecture()).orElseThrow();
    this.names =
        architecture.has(GPT2_STYLE) && checkpoint.hasWeight("transformer.wte")
            ? architecture.tensors.below("transformer.")
            : architecture.tensors;
  }

  DecoderWeights load() {
    int hidden = config.hidden();
    boolean tied = config.tiedEmbedding() && !checkpoint.hasWeight(names.head());
    Weight stored = matrix(names.embedding(), config.vocabulary(), hidden);
    Weight embedding = tied ? place(stored) : placeTable(stored);
    Optional<Weight> positions =
        names.positions().isEmpty()
            ? Optional.empty()
            : Optional.of(placeTable(matrix(names.positions(), config.contextLength(), hidden)));
    List<DecoderWeights.Layer> layers = new ArrayList<>();
    for (int i = 0; i < config.layers(); i++) {
      layers.add(layer(i, names.layers() + i + "."));
    }
    Linear head =
        tied
            ? Linear.of(embedding)
            : Linear.of(place(matrix(names.head(), config.vocabulary(), hidden)));
    return new DecoderWeights(embedding, positions, layers, norm(names.finalNorm()), head);
  }

  /**
   * The type that the model is stored in: its last norm's, which nothing quantizes, or where files
   * keep all vectors as F32 (GGUF), its embedding's.
   */
  DType storedType() {
    DType norm = hostVector(names.finalNorm() + ".weight", config.hidden()).dtype();
    Weight embedding = checkpoint.weight(names.embedding());
    return norm == DType.F32 && embedding instanceof Weight.Dense dense
        ? dense.values().dtype()
        : norm;
  }

  private DecoderWeights.Layer layer(int index, String layer) {
    int hidden = config.hidden();
    int queries = config.heads() * config.headDim();
    int keys = config.kvHeads() * config.headDim();
    int intermediate = config.intermediate();
    int[] queryKeyValue =
        names.queryKeyValue().size() == 1
            ? new int[] {queries + 2 * keys}
            : new int[] {queries, keys, keys};
    int[] gateUp =
        names.gateUp().size() == 1
            ? new int[] {Math.toIntExact(config.gateUpColumns())}
            : new int[] {intermediate, intermediate};
    ModelConfig.Biases biases = config.biases();
    return new DecoderWeights.Layer(
        index,
        norm(layer + names.attentionNorm()),
        linear(layer, names.queryKeyValue(), queryKeyValue, hidden, biases.queryKeyValue()),
        headNorms(layer),
        linear(layer, names.attentionOutput(), hidden, queries, biases.attentionOutput()),
        postNorm(layer, names.postAttentionNorm()),
        norm(layer + names.feedForwardNorm()),
        linear(layer, names.gateUp(), gateUp, hidden, biases.feedForward()),
        linear(layer, names.down(), hidden, intermediate, biases.feedForward()),
        postNorm(layer, names.postFeedForwardNorm()));
  }

  long bytes() {
    return bytes;
  }

  private Linear linear(String layer, String module, int outputs, int inputs, boolean biased) {
    return linear(layer, List.of(module), new int[] {outputs}, inputs, biased);
  }

  /** Modules over the same inputs as one layer, one below the other. */
  private Linear linear(
      String layer, List<String> modules, int[] outputs, int inputs, boolean biased) {
    List<Weight> parts = new ArrayList<>();
    List<Tensor> biases = new ArrayList<>();
    for (int i = 0; i < modules.size(); i++) {
      String module = layer + modules.get(i);
      parts.add(
          architecture.has(GPT2_STYLE)
              ? transposed(module, outputs[i], inputs)
              : matrix(module, outputs[i], inputs));
      if (biased) {
        biases.add(hostVector(module + ".bias", outputs[i]));
      } else if (checkpoint.tensors().containsKey(module + ".bias")) {
        throw new InvalidInputException(
            "%s: %s.bias is there, but by config.json the module has no bias"
                .formatted(checkpoint.path(), module));
      }
    }
    Weight weight = place(parts.size() == 1 ? parts.getFirst() : new Weight.Stacked(parts));
    return new Linear(weight, biased ? Optional.of(placeF32(biases, 0)) : Optional.empty());
  }

  /** As the file has it where it stores [outputs, inputs], else a copy. */
  private Weight transposed(String module, long outputs, long inputs) {
    Optional<Weight> stored = checkpoint.transposed(module);
    if (checkpoint.weight(module) instanceof Weight.Int8 int8
        && int8.activations() == ActivationFormat.INT8) {
      throw new InvalidInputException(
          "%s: %s is stored [inputs, outputs], so its scales belong to inputs: INT8 activations need one an output"
              .formatted(checkpoint.path(), module));
    }
    return stored.isPresent()
        ? matrix(stored.get(), module, outputs, inputs)
        : Transposed.copy(matrix(module, inputs, outputs), copies);
  }

  private Weight matrix(String module, long rows, long cols) {
    return matrix(checkpoint.weight(module), module, rows, cols);
  }

  private Weight matrix(Weight weight, String module, long rows, long cols) {
    if (weight.rows() != rows || weight.cols() != cols) {
      throw new InvalidInputException(
          "%s: %s is [%d, %d], but config.json makes it [%d, %d]"
              .formatted(checkpoint.path(), module, weight.rows(), weight.cols(), rows, cols));
    }
    return weight;
  }

  private Weight place(Weight weight) {
    Weight placed = backend.place(weight, memory);
    bytes += placed.bytes();
    return placed;
  }

  private Weight placeTable(Weight table) {
    Weight placed = backend.placeTable(table, memory);
    bytes += placed.bytes();
    return placed;
  }

  private Norm norm(String module) {
    int hidden = config.hidden();
    Tensor weight =
        placeF32(
            List.of(hostVector(module + ".weight", hidden)),
            architecture.has(NORM_PLUS_ONE) ? 1 : 0);
    return new Norm(
        weight,
        architecture.has(GPT2_STYLE)
            ? Optional.of(placeF32(List.of(hostVector(module + ".bias", hidden)), 0))
            : Optional.empty());
  }

  private Optional<Norm> postNorm(String layer, String name) {
    return name.isEmpty() ? Optional.empty() : Optional.of(norm(layer + name));
  }

  private Optional<HeadNorms> headNorms(String layer) {
    if (!architecture.has(HEAD_NORMS)) {
      return Optional.empty();
    }
    int headDim = config.headDim();
    return Optional.of(
        new HeadNorms(
            placeF32(List.of(hostVector(layer + names.queryNorm() + ".weight", headDim)), 0),
            placeF32(List.of(hostVector(layer + names.keyNorm() + ".weight", headDim)), 0)));
  }

  private Tensor hostVector(String name, long size) {
    Tensor tensor = checkpoint.tensor(name);
    if (tensor.rank() != 1 || tensor.size(0) != size || !tensor.dtype().isFloating()) {
      TensorInfo info = checkpoint.tensors().get(name);
      throw new InvalidInputException(
          "%s: %s is %s%s, but config.json makes it floating [%d]"
              .formatted(checkpoint.path(), name, info.dtype(), info.shape(), size));
    }
    return tensor;
  }

  /** Vectors one after another, each value with {@code offset} added. */
  private Tensor placeF32(List<Tensor> vectors, float offset) {
    Tensor placed;
    if (vectors.size() == 1 && offset == 0) {
      placed = backend.placeF32(vectors.getFirst(), memory);
    } else {
      try (HostMemory temporary = new HostMemory()) {
        long size = vectors.stream().mapToLong(Tensor::elements).sum();
        Tensor joined = temporary.tensor(DType.F32, size);
        long at = 0;
        for (Tensor vector : vectors) {
          for (long i = 0; i < vector.elements(); i++) {
            float value = Floats.get(vector.memory(), vector.dtype(), i);
            Floats.set(joined.memory(), DType.F32, at++, value + offset);
          }
        }
        placed = backend.placeF32(joined, memory);
      }
    }
    bytes += placed.bytes();
    return placed;
  }
}
