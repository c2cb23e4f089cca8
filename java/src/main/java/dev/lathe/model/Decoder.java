package dev.lathe.model;

import static dev.lathe.backend.Epilogue.ADD;
import static dev.lathe.backend.Epilogue.STORE;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BatchTensors;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.HostMemory;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.Linear;
import dev.lathe.backend.OutOfDeviceMemoryException;
import dev.lathe.backend.RmsNorm;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.DecoderWeights.HeadNorms;
import dev.lathe.model.DecoderWeights.Layer;
import dev.lathe.model.DecoderWeights.Norm;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A decoder-only transformer whose weights are resident on a backend's device. One forward pass
 * serves prefill, decode and everything between, and every architecture that is run; it is written
 * once, here, over the operations of {@link Backend}.
 *
 * <p>Used by one thread at a time, like its backend. The checkpoint must outlive the decoder: a
 * backend may multiply the mapped file as it lies.
 */
public final class Decoder implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(Decoder.class);

  private final ModelConfig config;
  private final Backend backend;
  private final DecoderWeights weights;
  private final long weightBytes;

  private final DType cacheType;

  private final DeviceMemory memory;
  private final HostMemory copies;
  private final Workspace workspace;

  private Decoder(
      ModelConfig config,
      Backend backend,
      DecoderWeights weights,
      long weightBytes,
      DType cacheType,
      DeviceMemory memory,
      HostMemory copies) {
    this.config = config;
    this.backend = backend;
    this.weights = weights;
    this.weightBytes = weightBytes;
    this.cacheType = cacheType;
    this.memory = memory;
    this.copies = copies;
    this.workspace = new Workspace(backend, config);
  }

  /**
   * Checks a checkpoint and makes its weights resident on the backend.
   *
   * @throws InvalidInputException if the configuration is wrong, a tensor is missing, or its shape
   *     is not what the configuration says; or if the model asks for a type of keys and values that
   *     the backend doesn't keep
   */
  public static Decoder load(Checkpoint checkpoint, Backend backend) {
    return load(checkpoint, backend, Optional.empty());
  }

  /**
   * The same with keys and values in a given type.
   *
   * @param asked one of {@link Backend#cacheTypes()}; empty for what the model asks for, and where
   *     it asks for nothing, what the backend prefers for it
   */
  public static Decoder load(Checkpoint checkpoint, Backend backend, Optional<DType> asked) {
    Optional<DType> cacheType = CacheTypes.wanted(asked, checkpoint, backend);
    String where = checkpoint.path() + ": config.json";
    ModelConfig config =
        GenerationConfig.complete(ModelConfig.parse(checkpoint.config(), where), checkpoint);
    List<String> unknown = ModelConfig.unknownKeys(checkpoint.config(), where);
    if (!unknown.isEmpty()) {
      log.warn(
          "{}: this version does not know {}: if that changes what the model computes, results are"
              + " wrong",
          where,
          String.join(", ", unknown));
    }
    DeviceMemory memory = backend.allocateMemory();
    HostMemory copies = new HostMemory();
    try {
      DecoderLoader loader = new DecoderLoader(checkpoint, config, backend, memory, copies);
      DecoderWeights weights = loader.load();
      return new Decoder(
          config,
          backend,
          weights,
          loader.bytes(),
          cacheType.orElseGet(() -> backend.cacheType(loader.storedType(), weights.isQuantized())),
          memory,
          copies);
    } catch (OutOfDeviceMemoryException e) {
      long available = memory.bytes() + e.freeBytes();
      memory.close();
      copies.close();
      throw tooLarge(checkpoint, available);
    } catch (RuntimeException | Error e) {
      memory.close();
      copies.close();
      throw e;
    }
  }

  private static OutOfDeviceMemoryException tooLarge(Checkpoint checkpoint, long available) {
    long needed = checkpoint.tensors().values().stream().mapToLong(TensorInfo::bytes).sum();
    return new OutOfDeviceMemoryException(
        ("out of device memory: the weights of %s need %,d bytes, and %,d are free: %.0f %% of them"
                + " would fit. Weights in a smaller type (lathe quantize) need less")
            .formatted(checkpoint.path(), needed, available, 100.0 * available / needed),
        available);
  }

  /**
   * The same weights, run through another view of the same backend, one that measures for example.
   * It must be closed before this one, which keeps the weights.
   */
  public Decoder over(Backend view) {
    return new Decoder(config, view, weights, weightBytes, cacheType, null, null);
  }

  /**
   * One step: the batch's tokens in, the logits of the rows that it asks for out. It reads as Llama
   * does (Touvron et al. 2023, arXiv 2302.13971); each "if" is a piece that some architectures have
   * and others not:
   *
   * <ul>
   *   <li>GPT-2 (Radford et al. 2019): learned positions, LayerNorm, no rotation, no gate;
   *   <li>Qwen 2 and 3 (arXiv 2407.10671, 2505.09388): biases, norms over the heads of q and k;
   *   <li>Mistral, Phi-3 (arXiv 2310.06825, 2404.14219): a window, which the shape of attention
   *       has;
   *   <li>Gemma 2 (arXiv 2408.00118): scaled embeddings, norms behind both sublayers, capped scores
   *       (in the shape too) and logits.
   * </ul>
   *
   * @param logits [logitRows, vocabulary] F32 on the device; not touched where there are none
   * @throws InvalidInputException if a token is not in the vocabulary or a sequence is longer than
   *     the model's context
   */
  public void forward(Batch batch, KvCache cache, Tensor logits) {
    check(batch, logits);
    Workspace.Activations w = workspace.activations(batch);
    BatchTensors numbers = workspace.upload(batch);
    Tensor rotations =
        config.rope().map(rope -> workspace.rotations(rope, batch.rotationRows())).orElse(null);
    if (batch.isDecode() && backend.replays(batch.tokenCount())) {
      Object step =
          new Step(
              this, workspace.layout(batch), cache.layout(), logits.address(), logits.rowStride());
      backend.replayable(step, () -> pass(w, numbers, rotations, cache, logits));
    } else {
      pass(w, numbers, rotations, cache, logits);
    }
  }

  /** Equal for two steps that do the same with the same memory. */
  private record Step(
      Decoder decoder, Object workspace, Object cache, long logits, long logitsStride) {}

  private void pass(
      Workspace.Activations w,
      BatchTensors numbers,
      Tensor rotations,
      KvCache cache,
      Tensor logits) {
    backend.embed(w.x(), weights.embedding(), numbers.tokens()); // [tokens, hidden]
    if (config.embeddingScale() != 1) {
      backend.scale(w.x(), config.embeddingScale());
    }
    if (weights.positions().isPresent()) {
      backend.addEmbedding(w.x(), weights.positions().get(), numbers.positions());
    }
    for (Layer layer : weights.layers()) {
      AttentionShape heads = config.attention(layer.index());
      KvLayer kv = cache.layer(layer.index());
      Tensor qkv = w.queryKeyValue(); // [tokens, (heads + 2 kvHeads) headDim]
      normLinear(qkv, w.x(), layer.attentionNorm(), layer.queryKeyValue(), w.h());
      if (layer.headNorms().isPresent()) {
        HeadNorms norms = layer.headNorms().get();
        backend.normHeads(qkv, norms.query(), norms.key(), heads, config.normEpsilon());
      }
      if (config.rope().isPresent()) {
        backend.rotateAndAppend(qkv, rotations, heads, kv, numbers);
      } else {
        backend.append(qkv, heads, kv, numbers);
      }
      backend.attention(w.attention(), qkv, heads, kv, numbers); // [tokens, heads * headDim]
      addLinear(w, w.attention(), layer.attentionOutput(), layer.postAttentionNorm());

      if (config.gated()) {
        normLinearGate(w, layer.feedForwardNorm(), layer.gateUp()); // [tokens, intermediate]
      } else {
        normLinear(w.gateUp(), w.x(), layer.feedForwardNorm(), layer.gateUp(), w.h());
        backend.activate(w.gated(), w.gateUp(), config.activation());
      }
      addLinear(w, w.gated(), layer.down(), layer.postFeedForwardNorm());
    }
    if (numbers.logitRows().size(0) > 0) {
      backend.gatherRows(w.selected(), w.x(), numbers.logitRows()); // [logitRows, hidden]
      normLinear(logits, w.selected(), weights.finalNorm(), weights.head(), w.selected());
      if (config.logitSoftCap() > 0) {
        backend.softCap(logits, config.logitSoftCap());
      }
    }
  }

  /** out = norm(x) W^T + b, with room for the norm's result. */
  private void normLinear(Tensor out, Tensor x, Norm norm, Linear linear, Tensor normed) {
    if (norm.bias().isPresent()) {
      backend.layerNorm(normed, x, norm.weight(), norm.bias().get(), config.normEpsilon());
      backend.linear(out, normed, linear, STORE);
    } else {
      backend.normLinear(out, x, rms(norm), linear, normed);
    }
  }

  /** gated = activation(gate) * up, where [gate, up] = norm(x) W^T + b. */
  private void normLinearGate(Workspace.Activations w, Norm norm, Linear gateUp) {
    if (norm.bias().isPresent()) {
      normLinear(w.gateUp(), w.x(), norm, gateUp, w.h());
      backend.gate(w.gated(), w.gateUp(), config.activation());
    } else {
      backend.normLinearGate(
          w.gated(), w.x(), rms(norm), gateUp, config.activation(), w.h(), w.gateUp());
    }
  }

  private RmsNorm rms(Norm norm) {
    return new RmsNorm(norm.weight(), config.normEpsilon());
  }

  /** x += y W^T + b, through a norm where there is one. */
  private void addLinear(Workspace.Activations w, Tensor y, Linear linear, Optional<Norm> post) {
    if (post.isPresent()) {
      backend.linear(w.h(), y, linear, STORE); // [tokens, hidden]
      backend.addRmsNorm(w.x(), w.h(), post.get().weight(), config.normEpsilon());
    } else {
      backend.linear(w.x(), y, linear, ADD);
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

  /**
   * The type in which keys and values are kept: what was asked for when the model was loaded, else
   * what the model asks for, else what the backend prefers for it.
   */
  public DType cacheType() {
    return cacheType;
  }

  /** An empty cache of type {@link #cacheType()}. */
  public KvCache newCache(int pages, int pageSize) {
    return newCache(pages, pageSize, cacheType());
  }

  /** An empty cache of a type that {@link Backend#cacheTypes()} lists. */
  public KvCache newCache(int pages, int pageSize, DType dtype) {
    CacheTypes.refusal(backend, dtype)
        .ifPresent(why -> {
          throw new IllegalArgumentException(why);
        });
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

  /**
   * Bytes of the weights in their stored formats, a tied matrix counted once. What a backend lays
   * out anew beside them is in its memory's bytes.
   */
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
      copies.close();
    }
  }
}
