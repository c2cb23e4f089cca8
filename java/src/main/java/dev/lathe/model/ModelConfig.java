package dev.lathe.model;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
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
 * @param tiedEmbedding the embedding table is the output head too
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
    double ropeTheta,
    boolean tiedEmbedding,
    Activation activation,
    OptionalInt beginOfSequence,
    Set<Integer> endOfSequence) {

  public ModelConfig {
    endOfSequence = Set.copyOf(endOfSequence);
  }

  /**
   * Reads and checks a Hugging Face {@code config.json}.
   *
   * @param where what to call the file in messages
   * @throws dev.lathe.error.InvalidInputException if a key is missing, has the wrong type, or
   *     contradicts another, or if the architecture is unknown: names the key and what would be
   *     right
   */
  public static ModelConfig parse(ObjectNode config, String where) {
    return new ConfigReader(config, where).read();
  }

  public AttentionShape attention() {
    return new AttentionShape(heads, kvHeads, headDim, (float) (1 / Math.sqrt(headDim)));
  }

  /** Values that one token leaves in the cache: keys and values of every layer. */
  public long cacheElementsPerToken() {
    return 2L * layers * kvHeads * headDim;
  }
}
