package dev.lathe.measure;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import tools.jackson.databind.node.ObjectNode;

/** A decoder with random weights, small enough to count by hand; no two of its sizes are equal. */
class TinyModel implements Checkpoint {
  static final int HIDDEN = 6;
  static final int INTERMEDIATE = 10;
  static final int LAYERS = 2;
  static final int HEADS = 4;
  static final int KV_HEADS = 2;
  static final int HEAD_DIM = 8;
  static final int VOCABULARY = 11;
  static final int CONTEXT = 64;

  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  private final SplittableRandom random;
  private final boolean tied;

  TinyModel(long seed, boolean tied) {
    this.random = new SplittableRandom(seed);
    this.tied = tied;
    add("model.embed_tokens.weight", VOCABULARY, HIDDEN);
    for (int i = 0; i < LAYERS; i++) {
      String layer = "model.layers." + i + ".";
      add(layer + "input_layernorm.weight", HIDDEN);
      add(layer + "self_attn.q_proj.weight", HEADS * HEAD_DIM, HIDDEN);
      add(layer + "self_attn.k_proj.weight", KV_HEADS * HEAD_DIM, HIDDEN);
      add(layer + "self_attn.v_proj.weight", KV_HEADS * HEAD_DIM, HIDDEN);
      add(layer + "self_attn.o_proj.weight", HIDDEN, HEADS * HEAD_DIM);
      add(layer + "post_attention_layernorm.weight", HIDDEN);
      add(layer + "mlp.gate_proj.weight", INTERMEDIATE, HIDDEN);
      add(layer + "mlp.up_proj.weight", INTERMEDIATE, HIDDEN);
      add(layer + "mlp.down_proj.weight", HIDDEN, INTERMEDIATE);
    }
    add("model.norm.weight", HIDDEN);
    if (!tied) {
      add("lm_head.weight", VOCABULARY, HIDDEN);
    }
  }

  private void add(String name, long... shape) {
    long elements = Tensor.elements(shape);
    Tensor tensor = Tensor.of(Arena.ofAuto().allocate(4 * elements, 64), DType.F32, shape);
    for (long i = 0; i < elements; i++) {
      tensor
          .memory()
          .setAtIndex(
              java.lang.foreign.ValueLayout.JAVA_FLOAT, i, (float) random.nextDouble(-1, 1));
    }
    tensors.put(name, tensor);
  }

  @Override
  public ObjectNode config() {
    return RunJson.mapper()
        .createObjectNode()
        .put("model_type", "llama")
        .put("hidden_size", HIDDEN)
        .put("intermediate_size", INTERMEDIATE)
        .put("num_hidden_layers", LAYERS)
        .put("num_attention_heads", HEADS)
        .put("num_key_value_heads", KV_HEADS)
        .put("head_dim", HEAD_DIM)
        .put("vocab_size", VOCABULARY)
        .put("max_position_embeddings", CONTEXT)
        .put("bos_token_id", 1)
        .put("tie_word_embeddings", tied);
  }

  @Override
  public Path path() {
    return Path.of("tiny");
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    Map<String, TensorInfo> infos = new LinkedHashMap<>();
    tensors.forEach((n, t) -> infos.put(n, TensorInfo.of(n, t.dtype(), t.shape())));
    return infos;
  }

  @Override
  public Tensor tensor(String name) {
    return Optional.ofNullable(tensors.get(name)).orElseThrow();
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
    // Memory is the garbage collector's.
  }
}
