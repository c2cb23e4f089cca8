package dev.lathe.checkpoint;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import dev.lathe.checkpoint.GgufArchitecture.Change;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Transposition;
import dev.lathe.tensor.UnfilledMemory;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
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

  static final String HEAD = "output.weight";
  private static final String EMBEDDING = "token_embd.weight";

  private enum Part {
    VALUES,
    CODES,
    SCALES
  }

  /** Where a tensor comes from. */
  private record Located(GgufFile.Entry entry, Part part, Change change) {}

  private final GgufFile file;
  private final Arena arena;
  private final GgufArchitecture architecture;
  private final ObjectNode config;
  private final Optional<GgufRows> rows;
  private final Map<String, Located> located = new HashMap<>();
  private final Map<String, TensorInfo> tensors = new LinkedHashMap<>();

  /** Of matrices that are transposed: what lies in the file, [outputs, inputs]. */
  private final Map<String, Located> storedLocated = new HashMap<>();

  private final Map<String, TensorInfo> stored = new HashMap<>();
  private final Map<Located, Tensor> made = new ConcurrentHashMap<>();

  /** Apart from those made, because they are made of them. */
  private final Map<Located, Tensor> turned = new ConcurrentHashMap<>();

  private final Map<String, Weight> weights = new ConcurrentHashMap<>();
  private final Map<String, Optional<byte[]>> contents = new ConcurrentHashMap<>();
  private final Map<String, Weight> transposed = new ConcurrentHashMap<>();
  private final WeightReader weightReader;
  private final WeightReader storedReader;
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
    boolean copiedHead = architecture == GgufArchitecture.GPT2 && headIsACopy(file);
    file.tensors().stream()
        .filter(entry -> !copiedHead || !entry.name().equals(HEAD))
        .forEach(this::locate);
    GgufConfig reader = new GgufConfig(file.metadata(), architecture, tensors.keySet(), where);
    TensorInfo embedding = tensors.get(architecture.names().huggingFace(EMBEDDING).orElseThrow());
    if (embedding == null) {
      throw bad("token_embd.weight is missing; a model has it");
    }
    boolean rotates = architecture != GgufArchitecture.GPT2;
    this.config =
        reader.read(
            embedding.shape().getFirst(),
            rotates ? ropeFactors(reader.headDim()) : Optional.empty());
    this.rows =
        architecture.pairsNeighbours()
            ? Optional.of(new GgufRows(reader.headDim()))
            : Optional.empty();
    checkLayersAndHeads(reader.layers());
    this.weightReader = new WeightReader(tensors, this::tensor, _ -> false, arena, where);
    this.storedReader =
        new WeightReader(
            stored, n -> tensor(stored.get(n), storedLocated.get(n)), _ -> false, arena, where);
    this.lineage =
        file.metadata()
            .string(LINEAGE)
            .map(json ->
                LineageJson.parse(json.getBytes(StandardCharsets.UTF_8), where + ": " + LINEAGE))
            .orElse(Lineage.NONE);
  }

  /** GPT-2 ties its head to the embedding; files of it have it twice, as some engines want it. */
  private static boolean headIsACopy(GgufFile file) {
    Map<String, GgufFile.Entry> byName = new HashMap<>();
    file.tensors().forEach(entry -> byName.put(entry.name(), entry));
    GgufFile.Entry head = byName.get(HEAD);
    GgufFile.Entry embedding = byName.get(EMBEDDING);
    return head != null
        && embedding != null
        && head.type() == embedding.type()
        && Arrays.equals(head.shape(), embedding.shape())
        && file.data(head).mismatch(file.data(embedding)) == -1;
  }

  private void locate(GgufFile.Entry entry) {
    if (entry.name().equals(GgufRope.TENSOR) && architecture.hasRopeFactors()) {
      return; // part of the configuration
    }
    String name =
        architecture
            .names()
            .huggingFace(entry.name())
            .orElseThrow(() ->
                bad(
                    "tensor %s is none that the architecture %s has here%s; leaving it out could change what the model computes"
                        .formatted(
                            entry.name(),
                            architecture.ggufName(),
                            entry.name().startsWith("rope_factors_")
                                ? " (RoPE scaling \"longrope\" is read from folders only)"
                                : "")));
    long[] shape = entry.shape();
    if (shape.length > 2) {
      throw bad(
          "tensor %s has %d dimensions; tensors of this architecture have one or two"
              .formatted(entry.name(), shape.length));
    }
    Change change = architecture.change(name);
    if (change == Change.TRANSPOSED && shape.length == 2) {
      tensors.put(name, TensorInfo.of(name, dtype(entry.type()), shape[1], shape[0]));
      located.put(name, new Located(entry, Part.VALUES, change));
      place(entry, name, Change.NONE, stored, storedLocated);
    } else {
      place(entry, name, change, tensors, located);
    }
  }

  /** A tensor in the order of the file's rows, whatever is done to the rows themselves. */
  private void place(
      GgufFile.Entry entry,
      String name,
      Change change,
      Map<String, TensorInfo> infos,
      Map<String, Located> places) {
    long[] shape = entry.shape();
    if (entry.type() == GgmlType.Q8_0 && shape.length == 2 && name.endsWith(WeightFormat.WEIGHT)) {
      String scale = name + WeightFormat.SCALE.substring(WeightFormat.WEIGHT.length());
      long groups = shape[1] / GgmlType.Q8_0.blockElements();
      infos.put(name, TensorInfo.of(name, DType.I8, shape));
      places.put(name, new Located(entry, Part.CODES, change));
      infos.put(scale, TensorInfo.of(scale, DType.F32, shape[0], groups));
      places.put(scale, new Located(entry, Part.SCALES, change));
    } else {
      DType dtype = change == Change.PLUS_ONE ? DType.F32 : dtype(entry.type());
      infos.put(name, TensorInfo.of(name, dtype, shape));
      places.put(name, new Located(entry, Part.VALUES, change));
    }
  }

  /** What the frequencies of rotary embedding are divided by, one for each pair of a head. */
  private Optional<float[]> ropeFactors(long headDim) {
    return file.tensors().stream()
        .filter(entry -> entry.name().equals(GgufRope.TENSOR))
        .findFirst()
        .map(entry -> {
          long[] shape = entry.shape();
          if (entry.type() != GgmlType.F32 || shape.length != 1 || shape[0] != headDim / 2) {
            throw bad(
                "tensor %s is %s %s; heads of %d elements need F32 [%d]"
                    .formatted(
                        entry.name(), entry.type(), Arrays.toString(shape), headDim, headDim / 2));
          }
          float[] factors =
              file.data(entry).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE_ENDIAN));
          for (int i = 0; i < factors.length; i++) {
            if (!(factors[i] > 0) || Float.isInfinite(factors[i])) {
              throw bad(
                  "tensor %s has %s at %d; factors are positive numbers"
                      .formatted(entry.name(), factors[i], i));
            }
          }
          return factors;
        });
  }

  private static DType dtype(GgmlType type) {
    return switch (type) {
      case F16 -> DType.F16;
      case BF16 -> DType.BF16;
      case F32, Q4_0, Q8_0, Q4_K, Q5_K, Q6_K -> DType.F32;
    };
  }

  private void checkLayersAndHeads(long layers) {
    for (TensorInfo info : tensors.values()) {
      int layer = GgufNames.layer(info.name()).orElse(-1);
      if (layer >= layers) {
        throw bad(
            "tensor %s belongs to layer %d, but %s is %d"
                .formatted(ggufName(info.name()), layer, architecture.key("block_count"), layers));
      }
      if (located.get(info.name()).change() == Change.ROWS
          && info.shape().getFirst() % rows.orElseThrow().headDim() != 0) {
        throw bad(
            "tensor %s has %d rows, which are not heads of %d"
                .formatted(
                    ggufName(info.name()), info.shape().getFirst(), rows.orElseThrow().headDim()));
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
                  architecture.names().gguf(name).map(n -> " (" + n + " in the file)").orElse(""),
                  NearestName.of(name, tensors.keySet())
                      .map(nearest -> "; the nearest name is " + nearest)
                      .orElse(": it holds none at all")));
    }
    return tensor(tensors.get(name), at);
  }

  private Tensor tensor(TensorInfo info, Located at) {
    boolean asItLies = at.entry().type().isPlain() && at.change() == Change.NONE;
    if (asItLies) {
      return Tensor.of(file.data(at.entry()), info.dtype(), info.dimensions());
    }
    return at.change() == Change.TRANSPOSED
        ? turned.computeIfAbsent(at, _ -> turn(info))
        : made.computeIfAbsent(at, _ -> make(info, at));
  }

  /** A matrix that is stored [outputs, inputs] as Hugging Face has it. */
  private Tensor turn(TensorInfo info) {
    String name = info.name();
    String module = name.substring(0, name.length() - WeightFormat.WEIGHT.length());
    MemorySegment out = UnfilledMemory.allocate(info.bytes(), arena);
    Tensor tensor = Tensor.of(out, info.dtype(), info.dimensions());
    Transposition.copy(transposed(module).orElseThrow(), tensor);
    return tensor;
  }

  /** The tensor in memory of its own: as Hugging Face has it, dequantized. */
  private Tensor make(TensorInfo info, Located at) {
    MemorySegment out = UnfilledMemory.allocate(info.bytes(), arena);
    Tensor tensor = Tensor.of(out, info.dtype(), info.dimensions());
    boolean matrix = info.shape().size() == 2;
    boolean byRow = matrix || at.change() == Change.ROWS;
    long rowCount = byRow ? info.shape().getFirst() : 1;
    long inBytes = at.entry().bytes() / rowCount;
    long outBytes = info.bytes() / rowCount;
    MemorySegment in = file.data(at.entry());
    for (long row = 0; row < rowCount; row++) {
      long source = at.change() == Change.ROWS ? rows.orElseThrow().inGguf(row) : row;
      MemorySegment from = in.asSlice(source * inBytes, inBytes);
      MemorySegment to = out.asSlice(row * outBytes, outBytes);
      switch (at.part()) {
        case VALUES -> values(at, from, to);
        case CODES -> codes(from, to);
        case SCALES -> scales(from, to);
      }
    }
    return tensor;
  }

  private static void values(Located at, MemorySegment in, MemorySegment out) {
    GgmlType type = at.entry().type();
    if (!type.isPlain()) {
      dequantize(type, in, out);
    } else if (at.change() == Change.PLUS_ONE) {
      for (long i = 0; i < out.byteSize() / Float.BYTES; i++) {
        Floats.set(out, DType.F32, i, Floats.get(in, dtype(type), i) - 1);
      }
    } else {
      out.copyFrom(in);
    }
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
  public Optional<Weight> transposed(String module) {
    return stored.containsKey(module + WeightFormat.WEIGHT)
        ? Optional.of(transposed.computeIfAbsent(module, storedReader::read))
        : Optional.empty();
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
