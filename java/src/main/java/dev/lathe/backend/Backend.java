package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/**
 * The operations that a model needs, at the granularity that hardware wants fused. Calls are
 * carried out in the order in which they are made, and may return before the work is done: {@link
 * #download} and {@link #synchronize} wait for it.
 *
 * <p>Activations are F32 matrices [tokens, columns]; outputs never overlap inputs unless an
 * operation says so. Shapes are checked here, before a kernel sees them: a mistake is an {@link
 * IllegalArgumentException} that names both shapes. A backend is used by one thread at a time.
 *
 * <p>Every operation has a plain twin in double precision in {@code backend.reference}, against
 * which every backend is tested over the same edge shapes.
 */
public interface Backend extends AutoCloseable {

  /** {@code cpu}, {@code cuda} or {@code reference}. */
  String name();

  DeviceInfo device();

  // Memory.

  DeviceMemory allocateMemory();

  /**
   * A weight resident on the device in the format in which it will be multiplied. Memory comes from
   * {@code memory}; a backend that can multiply host memory as it lies returns the weight itself,
   * so the source must outlive the result.
   *
   * @param weight on the host
   */
  Weight place(Weight weight, DeviceMemory memory);

  /** A table of which only rows are asked for: {@link #embed}, {@link #addEmbedding}. */
  default Weight placeTable(Weight table, DeviceMemory memory) {
    return place(table, memory);
  }

  /** As F32 on the device, from any floating type on the host: norms and biases. */
  Tensor placeF32(Tensor host, DeviceMemory memory);

  /** Copies host bytes into a contiguous device tensor of that many bytes; done when it returns. */
  void upload(MemorySegment host, Tensor device);

  /** Waits for what was asked for before, then copies a contiguous device tensor to the host. */
  void download(Tensor device, MemorySegment host);

  /** Waits until everything that was asked for is done. */
  void synchronize();

  /**
   * Carries out {@code operations}, which a backend may remember under {@code key}: asked for an
   * equal key again, it may repeat what it remembers without running them. So equal keys must mean
   * the same operations on the same memory; what is in that memory may differ. They must not
   * upload, download, place or allocate.
   *
   * @param key small, with {@code equals} and {@code hashCode}; it is kept
   */
  default void replayable(Object key, Runnable operations) {
    operations.run();
  }

  /**
   * Whether {@link #replayable} may remember a step of so many tokens; otherwise it just runs what
   * it is given.
   */
  default boolean replays(long tokens) {
    return false;
  }

  /** A clock of the device's own; empty where the host's says what the device takes. */
  default Optional<DeviceTimer> newTimer() {
    return Optional.empty();
  }

  /** Records single launches; empty where the device's work has none that are seen from here. */
  default Optional<DeviceRecorder> newRecorder() {
    return Optional.empty();
  }

  // Operations.

  /**
   * {@code out[t, :] = table[tokens[t], :]}.
   *
   * @param out [tokens, cols] F32
   * @param table [vocabulary, cols]
   * @param tokens [tokens] I32, each in the vocabulary
   */
  void embed(Tensor out, Weight table, Tensor tokens);

  /**
   * {@code out[t, :] += table[rows[t], :]}: learned positions (Radford et al. 2019, GPT-2).
   *
   * @param out [tokens, cols] F32
   * @param table [positions, cols]
   * @param rows [tokens] I32, each a row of the table
   */
  void addEmbedding(Tensor out, Weight table, Tensor rows);

  /**
   * {@code x = x * factor}: embeddings that are scaled to the size of the residual stream.
   *
   * @param x [rows, cols] F32
   */
  void scale(Tensor x, float factor);

  /**
   * RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467): {@code out = x / sqrt(mean(x^2) + epsilon)
   * * weight}, row by row.
   *
   * @param out, x [rows, cols] F32; may be the same
   * @param weight [cols] F32
   */
  void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon);

  /**
   * {@code out = out + rmsNorm(x)}: a norm behind a sublayer, on its way into the residual stream.
   *
   * @param out, x [rows, cols] F32, not the same
   * @param weight [cols] F32
   */
  void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon);

  /**
   * LayerNorm (Ba et al. 2016, arXiv 1607.06450): {@code out = (x - mean(x)) / sqrt(variance(x) +
   * epsilon) * weight + bias}, row by row; the variance divides by the number of columns.
   *
   * @param out, x [rows, cols] F32; may be the same
   * @param weight, bias [cols] F32
   */
  void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon);

  /**
   * RMSNorm of each head of the queries and of the keys by itself, in place (Qwen Team 2025, arXiv
   * 2505.09388; Dehghani et al. 2023, arXiv 2302.05442). Values stay.
   *
   * @param qkv [tokens, (heads + 2 kvHeads) headDim] F32
   * @param query, key [headDim] F32, the weights of each
   */
  void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon);

  /**
   * How far the rows of activations had better lie apart, in elements: at least {@code cols}. What
   * takes activations takes them so, except {@link #sample} and copies; with any other distance
   * only {@link #linear} does.
   *
   * @param tokens rows of the batch
   */
  default long rowStride(long tokens, long cols) {
    return cols;
  }

  /**
   * {@code out = x W^T + b}, or added to {@code out}.
   *
   * @param out [tokens, outputs] F32, rows may be strided
   * @param x [tokens, inputs] F32, rows may be strided
   */
  void linear(Tensor out, Tensor x, Linear layer, Epilogue epilogue);

  /**
   * {@code out = rmsNorm(x) W^T + b}: a norm and the product that reads it, which a backend may
   * carry out as one.
   *
   * @param out [tokens, outputs] F32
   * @param x [tokens, inputs] F32
   * @param normed [tokens, inputs] F32, room for what is in between; what it holds afterwards means
   *     nothing. May be {@code x}, which is lost then
   */
  default void normLinear(Tensor out, Tensor x, RmsNorm norm, Linear layer, Tensor normed) {
    rmsNorm(normed, x, norm.weight(), norm.epsilon());
    linear(out, normed, layer, Epilogue.STORE);
  }

  /**
   * {@code out = activation(gate) * up} with {@code [gate, up] = rmsNorm(x) W^T + b}: the first
   * half of a gated feed-forward layer (Shazeer 2020, arXiv 2002.05202), which a backend may carry
   * out as one.
   *
   * @param out [tokens, n] F32
   * @param x [tokens, inputs] F32
   * @param layer [2n, inputs], the gate first
   * @param normed [tokens, inputs] and {@code gateUp} [tokens, 2n], F32, room for what is in
   *     between; what they hold afterwards means nothing
   */
  default void normLinearGate(
      Tensor out,
      Tensor x,
      RmsNorm norm,
      Linear layer,
      Activation activation,
      Tensor normed,
      Tensor gateUp) {
    normLinear(gateUp, x, norm, layer, normed);
    gate(out, gateUp, activation);
  }

  /**
   * Rotates queries (in place) and keys by their positions, and writes keys and values to their
   * slots in the cache. RoPE (Su et al. 2021, arXiv 2104.09864) in the rotate-half form of Hugging
   * Face checkpoints: element i of a head is paired with element i + headDim / 2.
   *
   * @param qkv [tokens, (heads + 2 kvHeads) headDim] F32
   * @param rotations [positions, headDim] F32: cosines of the headDim / 2 angles, then their sines
   */
  void rotateAndAppend(
      Tensor qkv, Tensor rotations, AttentionShape shape, KvLayer cache, BatchTensors batch);

  /**
   * Writes keys and values to their slots in the cache, nothing rotated: models that add their
   * positions to the embeddings. The head's size may be odd.
   *
   * @param qkv [tokens, (heads + 2 kvHeads) headDim] F32
   */
  void append(Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch);

  /**
   * Causal softmax attention of each token's query over its sequence's cache, through block tables;
   * within a window and with capped scores where the shape says so. Sums are F32; beside keys and
   * values of 16 bits a backend may round queries and probabilities to their type, beside INT8 to
   * 16 bits: integers that share a scale, or a floating type.
   *
   * @param out [tokens, heads * headDim] F32
   * @param qkv as left by {@link #rotateAndAppend} or {@link #append}
   */
  void attention(Tensor out, Tensor qkv, AttentionShape shape, KvLayer cache, BatchTensors batch);

  /**
   * {@code out = activation(gateUp[:, :n]) * gateUp[:, n:]}.
   *
   * @param out [tokens, n] F32
   * @param gateUp [tokens, 2n] F32
   */
  void gate(Tensor out, Tensor gateUp, Activation activation);

  /**
   * {@code out = activation(x)}: a feed-forward layer without a gate.
   *
   * @param out, x [tokens, n] F32; may be the same
   */
  void activate(Tensor out, Tensor x, Activation activation);

  /**
   * {@code x = cap * tanh(x / cap)}, in place: logits that are kept within bounds (Gemma Team 2024,
   * arXiv 2408.00118).
   *
   * @param x [rows, cols] F32
   * @param cap above 0
   */
  void softCap(Tensor x, float cap);

  /**
   * {@code out[i, :] = x[rows[i], :]}.
   *
   * @param out [n, cols] F32
   * @param rows [n] I32
   */
  void gatherRows(Tensor out, Tensor x, Tensor rows);

  /**
   * The index of the largest value of each row, the first of equals.
   *
   * @param out [rows] I32
   * @param x [rows, cols] F32
   */
  void argmax(Tensor out, Tensor x);

  /**
   * The longest rows that {@link #sample} draws from; 0 where the host draws faster from the logits
   * itself.
   */
  default int sampledColumns() {
    return 0;
  }

  /**
   * Draws a token from each row, so that tokens are all that the host reads back. The same seed
   * gives the token that {@code generate.Sampler} draws from the same logits, but where a random
   * number comes within rounding of the border between two tokens.
   *
   * @param out [rows] I32
   * @param logits [rows, cols] F32, finite; a repetition penalty changes them
   * @param draws of each row
   * @param contexts of each row: the tokens that its repetition penalty falls on, each in the
   *     vocabulary, however often; not read without one
   * @throws UnsupportedOperationException if {@link #sampledColumns} is 0
   */
  default void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    throw new UnsupportedOperationException(name() + " leaves sampling to the host");
  }

  /**
   * What a product with these weights multiplies with at best, where the device doesn't record it
   * launch by launch.
   */
  default Arithmetic arithmetic(Weight weight) {
    return Arithmetic.F32;
  }

  /**
   * The types that this backend can keep keys and values in, the preferred one first: floating
   * types, and I8 for codes with scales ({@link KvLayer}).
   */
  default List<DType> cacheTypes() {
    return List.of(DType.F32);
  }

  /**
   * The type to keep keys and values in, of those that {@link #cacheTypes()} lists.
   *
   * @param model the type that the model is stored in, whatever its matrices were quantized to
   * @param quantized whether its matrices were quantized
   */
  default DType cacheType(DType model, boolean quantized) {
    return cacheTypes().getFirst();
  }

  @Override
  void close();
}
