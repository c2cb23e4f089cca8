package dev.lathe.model;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
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

/** A small Llama with random weights, in memory: every shape is odd in some way. */
public final class TinyModel implements Checkpoint {
  public static final int HIDDEN = 24;
  public static final int INTERMEDIATE = 44;
  public static final int LAYERS = 2;
  public static final int HEADS = 4;
  public static final int KV_HEADS = 2;
  public static final int HEAD_DIM = 10;
  public static final int VOCABULARY = 300;
  public static final int CONTEXT = 96;

  private final Arena arena = Arena.ofShared();
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  private final ObjectNode config;
  private Optional<ActivationFormat> activations = Optional.empty();

  public TinyModel(long seed) {
    config =
        (ObjectNode)
            JsonMapper.builder()
                .build()
                .readTree(
                    """
                    {"architectures": ["LlamaForCausalLM"], "hidden_size": %d,
                     "intermediate_size": %d, "num_hidden_layers": %d,
                     "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d,
                     "vocab_size": %d, "max_position_embeddings": %d, "rms_norm_eps": 1e-5,
                     "rope_theta": 10000.0, "tie_word_embeddings": false, "hidden_act": "silu",
                     "bos_token_id": 256, "eos_token_id": 257}
                    """
                        .formatted(
                            HIDDEN,
                            INTERMEDIATE,
                            LAYERS,
                            HEADS,
                            KV_HEADS,
                            HEAD_DIM,
                            VOCABULARY,
                            CONTEXT));
    SplittableRandom random = new SplittableRandom(seed);
    add(random, "model.embed_tokens.weight", VOCABULARY, HIDDEN);
    for (int i = 0; i < LAYERS; i++) {
      String layer = "model.layers." + i + ".";
      add(random, layer + "input_layernorm.weight", HIDDEN);
      add(random, layer + "self_attn.q_proj.weight", HEADS * HEAD_DIM, HIDDEN);
      add(random, layer + "self_attn.k_proj.weight", KV_HEADS * HEAD_DIM, HIDDEN);
      add(random, layer + "self_attn.v_proj.weight", KV_HEADS * HEAD_DIM, HIDDEN);
      add(random, layer + "self_attn.o_proj.weight", HIDDEN, HEADS * HEAD_DIM);
      add(random, layer + "post_attention_layernorm.weight", HIDDEN);
      add(random, layer + "mlp.gate_proj.weight", INTERMEDIATE, HIDDEN);
      add(random, layer + "mlp.up_proj.weight", INTERMEDIATE, HIDDEN);
      add(random, layer + "mlp.down_proj.weight", HIDDEN, INTERMEDIATE);
    }
    add(random, "model.norm.weight", HIDDEN);
    add(random, "lm_head.weight", VOCABULARY, HIDDEN);
  }

  private void add(SplittableRandom random, String name, long... shape) {
    MemorySegment memory = arena.allocate(Tensor.elements(shape) * 4, 64);
    for (long i = 0; i < Tensor.elements(shape); i++) {
      double value = shape.length == 1 ? 1 + 0.1 * random.nextGaussian() : random.nextGaussian();
      double scale =
          shape.length == 1 || name.contains("embed") ? 1 : 1.5 / Math.sqrt((double) shape[1]);
      memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (value * scale));
    }
    tensors.put(name, Tensor.of(memory, DType.F32, shape));
  }

  /** Puts another tensor in the place of one, or takes it away where null is given. */
  public void replace(String name, Tensor tensor) {
    if (tensor == null) {
      tensors.remove(name);
    } else {
      tensors.put(name, tensor);
    }
  }

  @Override
  public Path path() {
    return Path.of("tiny");
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
      throw new InvalidInputException("tiny: there is no tensor " + name);
    }
    return tensors.get(name);
  }

  /** From now on the layers' matrices are INT8 with a scale a row. */
  public TinyModel quantized(ActivationFormat by) {
    activations = Optional.of(by);
    return this;
  }

  @Override
  public Weight weight(String module) {
    Tensor values = tensor(module + ".weight");
    return activations.isPresent() && module.endsWith("_proj")
        ? quantize(values).with(activations.get())
        : new Weight.Dense(values);
  }

  private Weight.Int8 quantize(Tensor matrix) {
    int cols = Math.toIntExact(matrix.size(1));
    Tensor codes = Tensor.of(arena.allocate(matrix.elements(), 64), DType.I8, matrix.shape());
    Tensor scales = Tensor.of(arena.allocate(4 * matrix.size(0), 64), DType.F32, matrix.size(0), 1);
    for (long row = 0; row < matrix.size(0); row++) {
      float largest = 0;
      for (long at = row * cols; at < (row + 1) * cols; at++) {
        largest = Math.max(largest, Math.abs(Floats.get(matrix.memory(), DType.F32, at)));
      }
      for (long at = row * cols; at < (row + 1) * cols; at++) {
        double code = Math.rint(Floats.get(matrix.memory(), DType.F32, at) * 127.0 / largest);
        codes.memory().set(ValueLayout.JAVA_BYTE, at, (byte) code);
      }
      Floats.set(scales.memory(), DType.F32, row, largest / 127);
    }
    return new Weight.Int8(codes, scales, Optional.empty());
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
    return "tiny";
  }

  @Override
  public void close() {
    arena.close();
  }
}
