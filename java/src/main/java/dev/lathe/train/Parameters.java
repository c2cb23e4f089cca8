package dev.lathe.train;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import dev.lathe.train.corpus.Draw;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * All weights of a decoder as one array of F32, so that the optimizer, the norm of the gradient and
 * a saved state are one loop each. Query, key and value lie one after another, gate and up too:
 * each group is one matrix to multiply by.
 */
final class Parameters {
  /**
   * Where a tensor lies.
   *
   * @param name as in a checkpoint
   * @param cols 0 for a vector
   */
  record Entry(String name, int offset, int rows, int cols) {
    int elements() {
      return cols == 0 ? rows : rows * cols;
    }

    boolean isMatrix() {
      return cols > 0;
    }

    /** The tensor's name without {@code .weight}. */
    String module() {
      return name.substring(0, name.length() - ".weight".length());
    }
  }

  /** They lie in one Java array. */
  private static final int MAX_ELEMENTS = Integer.MAX_VALUE - 8;

  private final ModelConfig config;
  private final Map<String, Entry> entries = new LinkedHashMap<>();
  private final float[] values;

  Parameters(ModelConfig config) {
    refusal(config)
        .ifPresent(why -> {
          throw new InvalidInputException(why);
        });
    this.config = config;
    int hidden = config.hidden();
    int queries = config.heads() * config.headDim();
    int keys = config.kvHeads() * config.headDim();
    add("model.embed_tokens.weight", config.vocabulary(), hidden);
    for (int i = 0; i < config.layers(); i++) {
      String layer = "model.layers." + i + ".";
      add(layer + "input_layernorm.weight", hidden, 0);
      add(layer + "self_attn.q_proj.weight", queries, hidden);
      add(layer + "self_attn.k_proj.weight", keys, hidden);
      add(layer + "self_attn.v_proj.weight", keys, hidden);
      add(layer + "self_attn.o_proj.weight", hidden, queries);
      add(layer + "post_attention_layernorm.weight", hidden, 0);
      add(layer + "mlp.gate_proj.weight", config.intermediate(), hidden);
      add(layer + "mlp.up_proj.weight", config.intermediate(), hidden);
      add(layer + "mlp.down_proj.weight", hidden, config.intermediate());
    }
    add("model.norm.weight", hidden, 0);
    if (!config.tiedEmbedding()) {
      add("lm_head.weight", config.vocabulary(), hidden);
    }
    values = new float[count()];
  }

  private void add(String name, int rows, int cols) {
    entries.put(name, new Entry(name, count(), rows, cols));
  }

  /** Why the gradient does not know a model; empty where it does. */
  static Optional<String> refusal(ModelConfig config) {
    AttentionShape attention =
        new AttentionShape(
            config.heads(),
            config.kvHeads(),
            config.headDim(),
            (float) (1 / Math.sqrt(config.headDim())));
    boolean plain =
        config.architecture().equals("LlamaForCausalLM")
            && config.activation() == Activation.SILU
            && config.gated()
            && config.rope().isPresent()
            && config.biases().equals(new ModelConfig.Biases(false, false, false))
            && config.attentionLayers().stream().allMatch(attention::equals);
    if (!plain) {
      return Optional.of(
          "training knows LlamaForCausalLM with silu and without biases; this is %s with %s, %s"
              .formatted(config.architecture(), config.activation(), config.biases()));
    }
    return elements(config) > MAX_ELEMENTS
        ? Optional.of(
            "training knows models of up to %,d parameters; this has %,d"
                .formatted(MAX_ELEMENTS, elements(config)))
        : Optional.empty();
  }

  /** Parameters of a plain Llama, without making room for them. */
  static long elements(ModelConfig config) {
    long hidden = config.hidden();
    long heads = 2L * (config.heads() + config.kvHeads()) * config.headDim();
    long layer = hidden * (heads + 3L * config.intermediate() + 2);
    long table = config.vocabulary() * hidden;
    return (config.tiedEmbedding() ? 1 : 2) * table + config.layers() * layer + hidden;
  }

  /** How many numbers there are. */
  int count() {
    return entries.values().stream().mapToInt(Entry::elements).sum();
  }

  ModelConfig config() {
    return config;
  }

  float[] values() {
    return values;
  }

  List<Entry> entries() {
    return List.copyOf(entries.values());
  }

  Entry entry(String name) {
    return entries.get(name);
  }

  int offset(String name) {
    return entries.get(name).offset();
  }

  /** The output head, which may be the embedding. */
  int headOffset() {
    return offset(config.tiedEmbedding() ? "model.embed_tokens.weight" : "lm_head.weight");
  }

  /**
   * Norms 1, matrices normal with deviation 0.02, those that add to the residual stream divided by
   * the root of twice the layers (Radford et al. 2019, section 2.3).
   */
  static Parameters initial(ModelConfig config, long seed) {
    Parameters parameters = new Parameters(config);
    Draw draw = new Draw(seed);
    for (Entry entry : parameters.entries()) {
      boolean residual = entry.name().contains("o_proj") || entry.name().contains("down_proj");
      double deviation = residual ? 0.02 / Math.sqrt(2.0 * config.layers()) : 0.02;
      for (int i = 0; i < entry.elements(); i++) {
        parameters.values[entry.offset() + i] =
            entry.isMatrix() ? (float) (deviation * draw.gaussian()) : 1;
      }
    }
    return parameters;
  }

  /**
   * The weights of a checkpoint, decoded to F32.
   *
   * @throws InvalidInputException if one is missing, has another shape, or is none that training
   *     knows; or if the architecture is another than Llama
   */
  static Parameters load(Checkpoint checkpoint) {
    ModelConfig config =
        ModelConfig.parse(checkpoint.config(), checkpoint.path() + ": config.json");
    Parameters parameters = new Parameters(config);
    Set<String> unknown = new HashSet<>(checkpoint.tensors().keySet());
    for (Entry entry : parameters.entries()) {
      String prefix = entry.isMatrix() ? entry.module() + ".weight" : entry.name();
      unknown.removeIf(name -> name.startsWith(prefix));
      if (entry.isMatrix()) {
        parameters.readMatrix(entry, checkpoint);
      } else {
        parameters.readVector(entry, checkpoint);
      }
    }
    if (!unknown.isEmpty()) {
      throw new InvalidInputException(
          "%s: training does not know the tensor %s"
              .formatted(checkpoint.path(), unknown.stream().sorted().findFirst().orElseThrow()));
    }
    return parameters;
  }

  private void readMatrix(Entry entry, Checkpoint checkpoint) {
    Weight weight = checkpoint.weight(entry.module());
    requireShape(entry, checkpoint, weight.rows() == entry.rows() && weight.cols() == entry.cols());
    double[] row = new double[entry.cols()];
    for (int r = 0; r < entry.rows(); r++) {
      WeightRows.read(weight, r, row);
      for (int c = 0; c < row.length; c++) {
        values[entry.offset() + r * entry.cols() + c] = (float) row[c];
      }
    }
  }

  private void readVector(Entry entry, Checkpoint checkpoint) {
    Tensor tensor = checkpoint.tensor(entry.name());
    requireShape(
        entry,
        checkpoint,
        tensor.rank() == 1 && tensor.size(0) == entry.rows() && tensor.dtype().isFloating());
    for (int i = 0; i < entry.rows(); i++) {
      values[entry.offset() + i] = Floats.get(tensor.memory(), tensor.dtype(), i);
    }
  }

  private static void requireShape(Entry entry, Checkpoint checkpoint, boolean right) {
    if (!right) {
      throw new InvalidInputException(
          "%s: %s must be floating [%d%s]"
              .formatted(
                  checkpoint.path(),
                  entry.name(),
                  entry.rows(),
                  entry.isMatrix() ? ", " + entry.cols() : ""));
    }
  }

  /** All tensors as F32 into a checkpoint that is being written. */
  void writeTo(CheckpointWriter writer) {
    writeTo(writer, entry -> DType.F32);
  }

  /**
   * All tensors into a checkpoint that is being written.
   *
   * @param types F32, F16 or BF16 for each; rounded to nearest even
   */
  void writeTo(CheckpointWriter writer, Function<Entry, DType> types) {
    for (Entry entry : entries()) {
      DType type = types.apply(entry);
      long[] shape =
          entry.isMatrix() ? new long[] {entry.rows(), entry.cols()} : new long[] {entry.rows()};
      writer.group(
          List.of(TensorInfo.of(entry.name(), type, shape)),
          () -> {
            Tensor tensor =
                Tensor.of(
                    Arena.ofAuto().allocate((long) type.bytes() * entry.elements(), 64),
                    type,
                    shape);
            for (int i = 0; i < entry.elements(); i++) {
              Floats.set(tensor.memory(), type, i, values[entry.offset() + i]);
            }
            return new ArrayList<>(List.of(tensor));
          });
    }
  }
}
