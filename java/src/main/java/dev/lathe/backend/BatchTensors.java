package dev.lathe.backend;

import dev.lathe.tensor.Tensor;

/**
 * A ragged batch on the device: the tokens of many sequences one after another, each sequence's in
 * order. All I32.
 *
 * @param tokens [tokens] token ids
 * @param positions [tokens] position of each in its sequence, from 0, as a row of the table of
 *     rotations or of learned positions: where a model has several series of rotations one behind
 *     the other, a sequence's positions count from the first row of its series
 * @param slots [tokens] where in the cache its key and value go: {@code page * pageSize + row}
 * @param queryStarts [sequences + 1] where each sequence's tokens start; the last is {@code tokens}
 * @param contextLengths [sequences] tokens that each sequence has in the cache, those of this batch
 *     included; token {@code i} of n new ones sees {@code contextLength - n + i + 1} of them
 * @param blockStarts [sequences + 1] where each sequence's pages start in {@code blocks} (CSR)
 * @param blocks [pages in use, or more] page numbers; behind those in use, any page
 * @param logitRows [rows] tokens whose logits are asked for, ascending
 */
public record BatchTensors(
    Tensor tokens,
    Tensor positions,
    Tensor slots,
    Tensor queryStarts,
    Tensor contextLengths,
    Tensor blockStarts,
    Tensor blocks,
    Tensor logitRows) {

  public int tokenCount() {
    return (int) tokens.size(0);
  }

  public int sequenceCount() {
    return (int) contextLengths.size(0);
  }
}
