package dev.lathe.model;

import static dev.lathe.backend.Epilogue.ADD;
import static dev.lathe.backend.Epilogue.STORE;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.KvLayer;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.DecoderWeights.Layer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;

/**
 * A decoder-only transformer (Llama: Touvron et al. 2023, arXiv 2302.13971) whose weights are
 * resident on a backend's device. One forward pass serves prefill, decode and everything between;
 * it is written once, here, over the operations of {@link Backend}.
 *
 * <p>Used by one thread at a time, like its backend. The checkpoint must outlive the decoder: a
 * backend may multiply the mapped file as it lies.
 */
public final class Decoder implements AutoCloseable {
  private final ModelConfig config;
  private final Backend backend;
  private final DecoderWeights weights;
  private final long weightBytes;
  private final DeviceMemory memory;
  private final Workspace workspace;

  private Decoder(
      ModelConfig config,
      Backend backend,
      DecoderWeights weights,
      long weightBytes,
      DeviceMemory memory) {
    this.config = config;
    this.backend = backend;
    this.weights = weights;
    this.weightBytes = weightBytes;
    this.memory = memory;
    this.workspace = new Workspace(backend, config);
  }

  /**
   * Checks a checkpoint and makes its weights resident on the backend.
   *
   * @throws InvalidInputException if the configuration is wrong, a tensor is missing, or its shape
   *     is not what the configuration says
   */
  public static Decoder load(Checkpoint checkpoint, Backend backend) {
    ModelConfig config =
        ModelConfig.parse(checkpoint.config(), checkpoint.path() + ": config.json");
    DeviceMemory memory = backend.allocateMemory();
    try {
      DecoderLoader loader = new DecoderLoader(checkpoint, config, backend, memory);
      DecoderWeights weights = loader.load();
      return new Decoder(config, backend, weights, loader.bytes(), memory);
    } catch (RuntimeException | Error e) {
      memory.close();
      throw e;
    }
  }

  /**
   * The same weights, run through another view of the same backend, one that measures for example.
   * It must be closed before this one, which keeps the weights.
   */
  public Decoder over(Backend view) {
    return new Decoder(config, view, weights, weightBytes, null);
  }

  /**
   * One step: the batch's tokens in, the logits of the rows that it asks for out.
   *
   * @param logits [logitRows, vocabulary] F32 on the device; not touched where there are none
   * @throws InvalidInputException if a token is not in the vocabulary or a sequence is longer than
   *     the model's context
   */
  public void forward(Batch batch, KvCache cache, Tensor logits) {
    check(batch, logits);
    Workspace.Activations w = workspace.activations(batch);
    BatchTensors numbers = workspace.upload(batch);
    Tensor rotations = workspace.rotations(batch.positionLimit());
    AttentionShape heads = config.attention();
    float epsilon = config.normEpsilon();

    backend.embed(w.x(), weights.embedding(), numbers.tokens()); // [tokens, hidden]
    for (Layer layer : weights.layers()) {
      KvLayer kv = cache.layer(layer.index());
      Tensor qkv = w.queryKeyValue(); // [tokens, (heads + 2 kvHeads) headDim]
      backend.rmsNorm(w.h(), w.x(), layer.attentionNorm(), epsilon);
      backend.linear(qkv, w.h(), layer.queryKeyValue(), STORE);
      backend.rotateAndAppend(qkv, rotations, heads, kv, numbers);
      backend.attention(w.attention(), qkv, heads, kv, numbers); // [tokens, heads * headDim]
      backend.linear(w.x(), w.attention(), layer.attentionOutput(), ADD);

      backend.rmsNorm(w.h(), w.x(), layer.feedForwardNorm(), epsilon);
      backend.linear(w.gateUp(), w.h(), layer.gateUp(), STORE); // [tokens, 2 intermediate]
      backend.gate(w.gated(), w.gateUp(), config.activation()); // [tokens, intermediate]
      backend.linear(w.x(), w.gated(), layer.down(), ADD);
    }
    if (batch.logitRowCount() > 0) {
      backend.gatherRows(w.selected(), w.x(), numbers.logitRows()); // [logitRows, hidden]
      backend.rmsNorm(w.selected(), w.selected(), weights.finalNorm(), epsilon);
      backend.linear(logits, w.selected(), weights.head(), STORE); // [logitRows, vocabulary]
    }
  }

  private void check(Batch batch, Tensor logits) {
    for (int i = 0; i < batch.tokenCount(); i++) {
      int token = batch.token(i);
      if (token < 0 || token >= config.vocabulary()) {
        throw new InvalidInputException(
            "token %d is not in the model's vocabulary of %d"
                .formatted(token, config.vocabulary()));
      }
    }
    if (batch.positionLimit() > config.contextLength()) {
      throw new InvalidInputException(
          "a sequence of %d tokens is longer than the model's context of %d"
              .formatted(batch.positionLimit(), config.contextLength()));
    }
    if (batch.logitRowCount() > 0
        && (logits.rank() != 2
            || logits.size(0) != batch.logitRowCount()
            || logits.size(1) != config.vocabulary())) {
      throw new IllegalArgumentException(
          "logits %s are not [%d, %d]"
              .formatted(logits, batch.logitRowCount(), config.vocabulary()));
    }
  }

  /** An empty cache in the backend's preferred type. */
  public KvCache newCache(int pages, int pageSize) {
    return newCache(pages, pageSize, backend.cacheTypes().getFirst());
  }

  /** An empty cache of a type that {@link Backend#cacheTypes()} lists. */
  public KvCache newCache(int pages, int pageSize, DType dtype) {
    if (!backend.cacheTypes().contains(dtype)) {
      throw new IllegalArgumentException(
          "%s keeps no cache in %s, only in %s"
              .formatted(backend.name(), dtype, backend.cacheTypes()));
    }
    return new KvCache(backend, config, pages, pageSize, dtype);
  }

  public ModelConfig config() {
    return config;
  }

  public Backend backend() {
    return backend;
  }

  public DecoderWeights weights() {
    return weights;
  }

  /** Bytes of the weights as they are resident on the device, a tied matrix counted once. */
  public long weightBytes() {
    return weightBytes;
  }

  /** Bytes of the activations of the largest batch so far, as allocated. */
  public long activationBytes() {
    return workspace.activationBytes();
  }

  @Override
  public void close() {
    workspace.close();
    if (memory != null) {
      memory.close();
    }
  }
}
