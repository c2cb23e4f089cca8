package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import tools.jackson.databind.node.ObjectNode;

/**
 * A GGUF file as a checkpoint with Hugging Face's names, order of rows, {@code config.json} and
 * {@code tokenizer.json}.
 *
 * <p>Plain tensors whose rows lie in the right order are views of the mapped file. Others are made
 * when they are first asked for, in memory that the checkpoint owns until it is closed: Q8_0
 * matrices become INT8 with a scale for each 32 columns (the same numbers), every other quantized
 * type F32, which holds them exactly.
 */
final class GgufCheckpoint implements Checkpoint {
  static final String TOKENIZER_JSON = "tokenizer.json";
  static final String TOKENIZER_CONFIG_JSON = "tokenizer_config.json";
  static final String LINEAGE = "lathe.lineage";

  /** Llama 3's correction of the rotation's frequencies. */
  private static final String ROPE_FREQUENCIES = "rope_freqs.weight";

  private static final long ALIGNMENT_BYTES = 64;

  private enum Part {
    VALUES,
    CODES,
    SCALES
  }

  private record Located(GgufFile.Entry entry, Part part) {}

  private final GgufFile file;
  private final Arena arena;
  private final GgufArchitecture architecture;
  private final ObjectNode config;
  private final GgufRows rows;
  private final Map<String, Located> located = new HashMap<>();
  private final Map<String, TensorInfo> tensors = new LinkedHashMap<>();
  private final Map<String, Tensor> made = new ConcurrentHashMap<>();
  private final Map<String, Weight> weights = new ConcurrentHashMap<>();
  private final Map<String, Optional<byte[]>> contents = new ConcurrentHashMap<>();
  private final WeightReader weightReader;
  private final Lineage lineage;
  private String hash;

  /**
   * @param arena owns the mapped file; closed with the checkpoint
   */
  GgufCheckpoint(GgufFile file, Arena arena) {
    this.file = file;
    this.arena = arena;
    String where = file.path().toString();
    this.architecture = GgufArchitecture.of(file.metadata(), where);
    file.tensors().forEach(this::locate);
    GgufConfig reader = new GgufConfig(file.metadata(), architecture, tensors.keySet(), where);
    TensorInfo embedding = tensors.get("model.embed_tokens.weight");
    if (embedding == null) {
      throw bad("token_embd.weight is missing; a model has it");
    }
    this.config = reader.read(embedding.shape().getFirst());
    this.rows = new GgufRows(reader.headDim());
    checkLayersAndHeads();
    this.weightReader = new WeightReader(tensors, this::tensor, arena, where);
    this.lineage =
        file.metadata()
            .string(LINEAGE)
            .map(json ->
                LineageJson.parse(json.getBytes(StandardCharsets.UTF_8), where + ": " + LINEAGE))
            .orElse(Lineage.NONE);
  }

  private void locate(GgufFile.Entry entry) {
    if (entry.name().equals(ROPE_FREQUENCIES)) {
      throw bad(
          ROPE_FREQUENCIES
              + " corrects the frequencies of rotary embedding, which is not read yet");
    }
    String name =
        GgufArchitecture.huggingFace(entry.name())
            .orElseThrow(() ->
                bad(
                    "tensor %s is none that the architecture %s has here; leaving it out could change what the model computes"
                        .formatted(entry.name(), architecture.ggufName())));
    long[] shape = entry.shape();
    if (shape.length > 2) {
      throw bad(
          "tensor %s has %d dimensions; tensors of this architecture have one or two"
              .formatted(entry.name(), shape.length));
    }
    if (entry.type() == GgmlType.Q8_0 && shape.length == 2 && name.endsWith(WeightFormat.WEIGHT)) {
      String scale = name + WeightFormat.SCALE.substring(WeightFormat.WEIGHT.length());
      long groups = shape[1] / GgmlType.Q8_0.blockElements();
      put(TensorInfo.of(name, DType.I8, shape), new Located(entry, Part.CODES));
      put(TensorInfo.of(scale, DType.F32, shape[0], groups), new Located(entry, Part.SCALES));
    } else {
      put(TensorInfo.of(name, dtype(entry.type()), shape), new Located(entry, Part.VALUES));
    }
  }

  private void put(TensorInfo info, Located at) {
    tensors.put(info.name(), info);
    located.put(info.name(), at);
  }

  private static DType dtype(GgmlType type) {
    return switch (type) {
      case F16 -> DType.F16;
      case BF16 -> DType.BF16;
      case F32, Q4_0, Q8_0, Q4_K, Q5_K, Q6_K -> DType.F32;
    };
  }

  private void checkLayersAndHeads() {
    long layers = config.get("num_hidden_layers").longValue();
    for (TensorInfo info : tensors.values()) {
      int layer = GgufArchitecture.layer(info.name()).orElse(-1);
      if (layer >= layers) {
        throw bad(
            "tensor %s belongs to layer %d, but %s.block_count is %d"
                .formatted(ggufName(info.name()), layer, architecture.ggufName(), layers));
      }
      if (architecture.isRotated(info.name()) && info.shape().getFirst() % rows.headDim() != 0) {
        throw bad(
            "tensor %s has %d rows, which are not heads of %d"
                .formatted(ggufName(info.name()), info.shape().getFirst(), rows.headDim()));
      }
    }
  }

  private String ggufName(String tensor) {
    return located.get(tensor).entry().name();
  }

  @Override
  public Path path() {
    return file.path();
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    return Collections.unmodifiableMap(tensors);
  }

  @Override
  public Tensor tensor(String name) {
    Located at = located.get(name);
    if (at == null) {
      throw bad(
          "there is no tensor %s%s%s"
              .formatted(
                  name,
                  GgufArchitecture.gguf(name).map(n -> " (" + n + " in the file)").orElse(""),
                  NearestName.of(name, tensors.keySet())
                      .map(nearest -> "; the nearest name is " + nearest)
                      .orElse(": it holds none at all")));
    }
    TensorInfo info = tensors.get(name);
    boolean asItLies = at.entry().type().isPlain() && !architecture.isRotated(name);
    return asItLies
        ? Tensor.of(file.data(at.entry()), info.dtype(), info.dimensions())
        : made.computeIfAbsent(name, _ -> make(info, at));
  }

  /** The tensor in memory of its own: in Hugging Face's order, dequantized. */
  private Tensor make(TensorInfo info, Located at) {
    GgufFile.Entry entry = at.entry();
    MemorySegment in = file.data(entry);
    long count = info.shape().getFirst();
    boolean matrix = info.shape().size() == 2;
    long rowCount = matrix || architecture.isRotated(info.name()) ? count : 1;
    long inBytes = entry.bytes() / rowCount;
    long outBytes = info.bytes() / rowCount;
    MemorySegment out = arena.allocate(info.bytes(), ALIGNMENT_BYTES);
    for (long row = 0; row < rowCount; row++) {
      long source = architecture.isRotated(info.name()) ? rows.inGguf(row) : row;
      MemorySegment from = in.asSlice(source * inBytes, inBytes);
      MemorySegment to = out.asSlice(row * outBytes, outBytes);
      switch (at.part()) {
        case VALUES -> {
          if (entry.type().isPlain()) {
            to.copyFrom(from);
          } else {
            dequantize(entry.type(), from, to);
          }
        }
        case CODES -> codes(from, to);
        case SCALES -> scales(from, to);
      }
    }
    return Tensor.of(out, info.dtype(), info.dimensions());
  }

  private static void dequantize(GgmlType type, MemorySegment in, MemorySegment out) {
    float[] block = new float[type.blockElements()];
    long blocks = in.byteSize() / type.blockBytes();
    for (long b = 0; b < blocks; b++) {
      GgufBlocks.dequantize(type, in, b * type.blockBytes(), block, 0);
      MemorySegment.copy(
          MemorySegment.ofArray(block),
          0,
          out,
          b * block.length * Float.BYTES,
          (long) block.length * Float.BYTES);
    }
  }

  private static void codes(MemorySegment in, MemorySegment out) {
    int codes = GgmlType.Q8_0.blockElements();
    for (long b = 0; b * codes < out.byteSize(); b++) {
      MemorySegment.copy(in, b * GgmlType.Q8_0.blockBytes() + 2, out, b * codes, codes);
    }
  }

  private static void scales(MemorySegment in, MemorySegment out) {
    for (long b = 0; b * Float.BYTES < out.byteSize(); b++) {
      Floats.set(out, DType.F32, b, GgufBlocks.half(in, b * GgmlType.Q8_0.blockBytes()));
    }
  }

  @Override
  public Weight weight(String module) {
    return weights.computeIfAbsent(module, weightReader::read);
  }

  @Override
  public boolean hasWeight(String module) {
    return tensors.containsKey(module + WeightFormat.WEIGHT);
  }

  @Override
  public ObjectNode config() {
    return config.deepCopy();
  }

  @Override
  public Optional<Path> file(String name) {
    return Optional.empty();
  }

  @Override
  public Optional<byte[]> content(String name) {
    return contents.computeIfAbsent(name, this::makeContent);
  }

  private Optional<byte[]> makeContent(String name) {
    GgufTokenizer tokenizer = new GgufTokenizer(file.metadata(), file.path().toString());
    return switch (name) {
      case TOKENIZER_JSON -> tokenizer.json();
      case TOKENIZER_CONFIG_JSON -> tokenizer.config();
      default -> Optional.empty();
    };
  }

  @Override
  public Lineage lineage() {
    return lineage;
  }

  @Override
  public long fileBytes() {
    return file.mapped().byteSize();
  }

  @Override
  public synchronized String hash() {
    if (hash == null) {
      hash = CheckpointHash.of(file.path(), file.mapped());
    }
    return hash;
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  private InvalidInputException bad(String what) {
    return new InvalidInputException(file.path() + ": " + what);
  }

  @Override
  public String toString() {
    return file.path().toString();
  }
}
