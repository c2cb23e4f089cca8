package dev.lathe.model;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import tools.jackson.databind.node.ObjectNode;

/**
 * The shape of a decoder.
 *
 * @param architecture as {@code config.json} names it: {@code LlamaForCausalLM}
 * @param hidden columns of the residual stream
 * @param intermediate columns of the feed-forward layer
 * @param contextLength the most tokens that a sequence may have
 * @param attentionLayers heads, scale, window and cap of each layer
 * @param rope how positions rotate queries and keys; empty where they are added to the embeddings
 * @param embeddingScale factor on the embeddings; 1 for none
 * @param logitSoftCap logits become {@code cap tanh(logit / cap)}; 0 for none
 * @param tiedEmbedding the embedding table is the output head too
 * @param gated the feed-forward layer has a gate
 * @param biases which matrices have one
 * @param endOfSequence tokens that end a generation
 */
public record ModelConfig(
    String architecture,
    int hidden,
    int intermediate,
    int layers,
    int heads,
    int kvHeads,
    int headDim,
    int vocabulary,
    int contextLength,
    float normEpsilon,
    List<AttentionShape> attentionLayers,
    Optional<Rope> rope,
    float embeddingScale,
    float logitSoftCap,
    boolean tiedEmbedding,
    boolean gated,
    Biases biases,
    Activation activation,
    OptionalInt beginOfSequence,
    Set<Integer> endOfSequence) {

  /** Matrices that have a bias. */
  public record Biases(boolean queryKeyValue, boolean attentionOutput, boolean feedForward) {}

  public ModelConfig {
    attentionLayers = List.copyOf(attentionLayers);
    endOfSequence = Set.copyOf(endOfSequence);
  }

  /** Whether the layers' matrices are stored [inputs, outputs], as GPT-2's are by Hugging Face. */
  public boolean storesInputsByOutputs() {
    return Architecture.of(architecture)
        .filter(a -> a.has(Architecture.Trait.GPT2_STYLE))
        .isPresent();
  }

  /**
   * Reads and checks a Hugging Face {@code config.json}.
   *
   * @param where what to call the file in messages
   * @throws dev.lathe.error.InvalidInputException if a key is missing, has the wrong type,
   *     contradicts another or asks for what is not run, or if the architecture is unknown: names
   *     the key and what would be right
   */
  public static ModelConfig parse(ObjectNode config, String where) {
    return new ConfigReader(config, where).read();
  }

  /**
   * Keys of a {@code config.json} that say something and that this version neither reads nor knows
   * to be without effect on what is computed. What they ask for is not done.
   *
   * @throws dev.lathe.error.InvalidInputException as {@link #parse}
   */
  public static List<String> unknownKeys(ObjectNode config, String where) {
    ConfigReader reader = new ConfigReader(config, where);
    reader.read();
    return reader.unknownKeys();
  }

  /** The same decoder with other tokens that end a generation. */
  ModelConfig withEndOfSequence(Set<Integer> tokens) {
    return new ModelConfig(
        architecture,
        hidden,
        intermediate,
        layers,
        heads,
        kvHeads,
        headDim,
        vocabulary,
        contextLength,
        normEpsilon,
        attentionLayers,
        rope,
        embeddingScale,
        logitSoftCap,
        tiedEmbedding,
        gated,
        biases,
        activation,
        beginOfSequence,
        tokens);
  }

  public AttentionShape attention(int layer) {
    return attentionLayers.get(layer);
  }

  /** Columns of a fused row of query, key and value, the same in every layer. */
  public int queryKeyValueColumns() {
    return attentionLayers.getFirst().queryKeyValueColumns();
  }

  /** Columns of what the feed-forward layer computes first: gate and up, or up alone. */
  public long gateUpColumns() {
    return gated ? 2L * intermediate : intermediate;
  }

  /** What one token takes of a cache of that type: keys and values of every layer. */
  public long cacheBytesPerToken(DType type) {
    return 2L * layers * kvHeads * KvLayer.rowBytes(type, headDim);
  }
}
