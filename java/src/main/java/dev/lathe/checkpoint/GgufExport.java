package dev.lathe.checkpoint;

import dev.lathe.checkpoint.GgufArchitecture.Change;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Transposition;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import tools.jackson.databind.node.ObjectNode;

/** What of a checkpoint goes where in a GGUF file. */
final class GgufExport {
  /** Squared distance and norm of a matrix while it is written. */
  private static final class Deviation {
    double difference;
    double norm;
  }

  private record Matrix(
      String module, GgmlType type, long before, long after, Deviation error, String note) {}

  private final Checkpoint in;
  private final Path out;
  private final Optional<Conversion.Type> type;
  private final String tool;
  private final String where;
  private final ObjectNode config;
  private final GgufArchitecture architecture;
  private final List<GgufWriter.Planned> planned = new ArrayList<>();
  private final List<Matrix> matrices = new ArrayList<>();

  GgufExport(Checkpoint in, Path out, Optional<Conversion.Type> type, String tool) {
    this.in = in;
    this.out = out;
    this.type = type;
    this.tool = tool;
    this.where = in.path().toString();
    this.config = in.config();
    this.architecture = GgufArchitecture.of(config, where + ": config.json");
  }

  Conversion.Result write(LongConsumer bytesDone) {
    GgufMetadataBuilder metadata = new GgufMetadataBuilder();
    GgufConfigWriter writer = new GgufConfigWriter(config, architecture, where);
    List<String> notes = new ArrayList<>(writer.write(metadata));
    Optional<GgufRows> rows = writer.rows();
    writer.ropeFactors().ifPresent(this::planRopeFactors);
    in.tensors().values().forEach(info -> plan(info, rows));
    planCopiedHead(rows);
    metadata
        .u32("general.file_type", fileType())
        .u32(GgufFile.ALIGNMENT, GgufFile.DEFAULT_ALIGNMENT);
    if (matrices.stream().anyMatch(matrix -> matrix.type() == GgmlType.Q8_0)) {
      metadata.u32("general.quantization_version", 2);
    }
    tokenizer(metadata).ifPresent(notes::add);
    activations().ifPresent(notes::add);
    in.cacheType()
        .ifPresent(_ -> notes.add("a GGUF file doesn't say that keys and values are INT8 (kv8)"));
    Lineage lineage = Conversion.lineage(in, "convert gguf", type, tool);
    metadata.string(
        GgufCheckpoint.LINEAGE, new String(LineageJson.write(lineage), StandardCharsets.UTF_8));
    long bytes = new GgufWriter(out, metadata, planned).write(bytesDone);
    return new Conversion.Result(
        out, bytes, matrices.stream().map(GgufExport::layer).toList(), notes);
  }

  private static Conversion.Layer layer(Matrix matrix) {
    Deviation error = matrix.error();
    return new Conversion.Layer(
        matrix.module(),
        matrix.type().name().toLowerCase(Locale.ROOT),
        matrix.before(),
        matrix.after(),
        error.norm == 0 ? 0 : Math.sqrt(error.difference / error.norm),
        matrix.note());
  }

  private Optional<String> tokenizer(GgufMetadataBuilder metadata) {
    Optional<byte[]> json = in.content(GgufCheckpoint.TOKENIZER_JSON);
    if (json.isEmpty()) {
      GgufTokenizer.writeNone(metadata);
      return Optional.of("there is no tokenizer.json, so the file has no tokenizer");
    }
    ObjectNode companion =
        in.content(GgufCheckpoint.TOKENIZER_CONFIG_JSON)
            .map(bytes -> StrictJson.parseObject(bytes, where + ": tokenizer_config.json"))
            .orElseGet(() -> StrictJson.mapper().createObjectNode());
    in.content("chat_template.jinja")
        .ifPresent(
            text -> companion.put("chat_template", new String(text, StandardCharsets.UTF_8)));
    return new GgufTokenizerWriter(json.get(), companion, config, where + ": tokenizer.json")
        .write(metadata, config.path("vocab_size").asInt(0));
  }

  /** Of activations that are INT8, which such a file can't say: engines choose them themselves. */
  private Optional<String> activations() {
    return matrices.stream()
            .filter(matrix -> in.hasWeight(matrix.module()))
            .map(matrix -> in.weight(matrix.module()))
            .anyMatch(w -> w instanceof Weight.Int8 i && i.activations() == ActivationFormat.INT8)
        ? Optional.of("a GGUF file doesn't say that activations are INT8 (w8a8)")
        : Optional.empty();
  }

  /** What the format's reference implementation calls the mixture: the type of most weights. */
  private int fileType() {
    GgmlType most =
        matrices.stream()
            .max(java.util.Comparator.comparingLong(Matrix::after))
            .map(Matrix::type)
            .orElse(GgmlType.F32);
    return switch (most) {
      case F16 -> 1;
      case Q8_0 -> 7;
      case BF16 -> 32;
      default -> 0;
    };
  }

  /** Engines ask for GPT-2's head by its own name, though it is the embedding. */
  private void planCopiedHead(Optional<GgufRows> rows) {
    boolean missing =
        planned.stream().noneMatch(tensor -> tensor.name().equals(GgufCheckpoint.HEAD));
    String embedding = in.hasWeight("transformer.wte") ? "transformer.wte" : "wte";
    if (architecture == GgufArchitecture.GPT2 && missing && in.hasWeight(embedding)) {
      planMatrix(embedding, embedding + WeightFormat.WEIGHT, GgufCheckpoint.HEAD, rows);
      Matrix copy = matrices.removeLast();
      String note = "a copy of the embedding, which engines ask for";
      matrices.add(new Matrix("lm_head", copy.type(), 0, copy.after(), copy.error(), note));
    }
  }

  private void planRopeFactors(float[] factors) {
    planned.add(
        new GgufWriter.Planned(
            GgufRope.TENSOR,
            GgmlType.F32,
            new long[] {factors.length},
            (row, segment) -> segment.copyFrom(MemorySegment.ofArray(factors))));
  }

  private void plan(TensorInfo info, Optional<GgufRows> rows) {
    String name = info.name();
    if (architecture.isDerived(name)) {
      return;
    }
    boolean bitmap = name.endsWith(WeightFormat.BITMAP);
    if (!bitmap && name.contains(WeightFormat.WEIGHT + "_")) {
      return; // a part of a module that comes as a whole
    }
    String whole =
        bitmap
            ? name.substring(0, name.length() - WeightFormat.BITMAP.length()) + WeightFormat.WEIGHT
            : name;
    String target =
        architecture
            .names()
            .gguf(architecture.bare(whole))
            .orElseThrow(() ->
                new InvalidInputException(
                    "%s: tensor %s has no place in a GGUF file of the architecture %s"
                        .formatted(where, name, architecture.ggufName())));
    if (info.shape().size() == 2) {
      String module = whole.substring(0, whole.length() - WeightFormat.WEIGHT.length());
      planMatrix(module, whole, target, rows);
    } else {
      Tensor vector = in.tensor(name);
      Deviation error = new Deviation();
      planned.add(
          new GgufWriter.Planned(
              target,
              GgmlType.F32,
              info.dimensions(),
              (row, segment) -> {
                MemorySegment from = changedVector(vector, whole, rows);
                encode(
                    GgmlType.F32,
                    Tensor.of(from, DType.F32, vector.shape()),
                    0,
                    segment,
                    error,
                    name);
              }));
    }
  }

  /** A vector as F32; the bias of a matrix whose rows are exchanged in the order of its rows. */
  private MemorySegment changedVector(Tensor vector, String name, Optional<GgufRows> rows) {
    Change change = architecture.change(name);
    float[] values = new float[Math.toIntExact(vector.elements())];
    for (int i = 0; i < values.length; i++) {
      long source = change == Change.ROWS ? rows.orElseThrow().inHuggingFace(i) : i;
      values[i] = Floats.get(vector.memory(), vector.dtype(), source);
      if (change == Change.PLUS_ONE) {
        values[i] += 1;
      }
    }
    MemorySegment memory = Arena.ofAuto().allocate(4L * values.length, 4);
    memory.copyFrom(MemorySegment.ofArray(values));
    return memory;
  }

  private void planMatrix(String module, String name, String target, Optional<GgufRows> rows) {
    Change change = architecture.change(name);
    Supplier<Weight> source = () -> in.weight(module);
    Weight weight = source.get();
    if (change == Change.TRANSPOSED) {
      Optional<Weight> stored = in.transposed(module);
      source = stored.<Supplier<Weight>>map(found -> () -> found).orElse(() -> transpose(module));
      weight = stored.orElse(weight);
    }
    boolean exchanged = change == Change.TRANSPOSED && in.transposed(module).isEmpty();
    long rowCount = exchanged ? weight.cols() : weight.rows();
    long cols = exchanged ? weight.rows() : weight.cols();
    boolean codes = !exchanged && weight instanceof Weight.Int8 int8 && isQ8(int8);
    GgmlType chosen = chosen(module, weight, codes);
    String note = "";
    if (chosen == GgmlType.Q8_0 && cols % GgmlType.Q8_0.blockElements() != 0) {
      chosen = GgmlType.F16;
      note = "%d columns are no multiple of 32, which Q8_0 needs: F16 instead".formatted(cols);
    }
    Deviation error = new Deviation();
    GgufWriter.Planned tensor =
        new GgufWriter.Planned(
            target,
            chosen,
            new long[] {rowCount, cols},
            new MatrixRows(module, source, chosen, codes, change, rows, error));
    planned.add(tensor);
    matrices.add(new Matrix(module, chosen, weight.bytes(), tensor.bytes(), error, note));
  }

  private Weight transpose(String module) {
    Weight weight = in.weight(module);
    DType dtype = Transposition.dtype(weight);
    MemorySegment memory =
        Arena.ofAuto().allocate(weight.rows() * weight.cols() * dtype.bytes(), 64);
    Tensor copy = Tensor.of(memory, dtype, weight.cols(), weight.rows());
    Transposition.copy(weight, copy);
    return new Weight.Dense(copy);
  }

  /**
   * The rows of one matrix, in the file's order; what they come from is kept from first to last.
   */
  private final class MatrixRows implements GgufWriter.Rows {
    private final String module;
    private final Supplier<Weight> source;
    private final GgmlType stored;
    private final boolean codes;
    private final Change change;
    private final Optional<GgufRows> rows;
    private final Deviation error;
    private Weight weight;

    MatrixRows(
        String module,
        Supplier<Weight> source,
        GgmlType stored,
        boolean codes,
        Change change,
        Optional<GgufRows> rows,
        Deviation error) {
      this.module = module;
      this.source = source;
      this.stored = stored;
      this.codes = codes;
      this.change = change;
      this.rows = rows;
      this.error = error;
    }

    @Override
    public void write(long row, MemorySegment out) {
      if (weight == null) {
        weight = source.get();
      }
      long from = change == Change.ROWS ? rows.orElseThrow().inHuggingFace(row) : row;
      if (weight instanceof Weight.Dense dense
          && dense.values().dtype().name().equals(stored.name())) {
        long bytes = out.byteSize();
        out.copyFrom(dense.values().memory().asSlice(from * bytes, bytes));
      } else if (codes && stored == GgmlType.Q8_0) {
        copyCodes((Weight.Int8) weight, from, out);
      } else {
        encode(stored, weight, from, out, error, module);
      }
      if (row == weight.rows() - 1) {
        weight = null;
      }
    }
  }

  private GgmlType chosen(String module, Weight weight, boolean codes) {
    if (type.isPresent()) {
      return GgmlType.valueOf(type.get().name());
    }
    if (weight instanceof Weight.Dense dense) {
      return GgmlType.valueOf(dense.values().dtype().name());
    }
    if (codes) {
      return GgmlType.Q8_0;
    }
    throw new InvalidInputException(
        "%s: %s is stored as %s, which a GGUF file does not have; --dtype q8_0 (or f32, f16, bf16) says what to store instead"
            .formatted(where, module, weight.format()));
  }

  /** True where the codes can go over as they are: groups of 32, and scales that F16 holds. */
  private static boolean isQ8(Weight.Int8 int8) {
    if (int8.zeroPoints().isPresent()
        || int8.cols() % GgmlType.Q8_0.blockElements() != 0
        || int8.groupSize() != GgmlType.Q8_0.blockElements()) {
      return false;
    }
    Tensor scales = int8.scales();
    for (long i = 0; i < scales.elements(); i++) {
      float scale = Floats.get(scales.memory(), scales.dtype(), i);
      if (Float.float16ToFloat(Float.floatToFloat16(scale)) != scale) {
        return false;
      }
    }
    return true;
  }

  private static void copyCodes(Weight.Int8 int8, long row, MemorySegment out) {
    int block = GgmlType.Q8_0.blockElements();
    long groups = int8.cols() / block;
    for (long g = 0; g < groups; g++) {
      long at = g * GgmlType.Q8_0.blockBytes();
      Tensor scales = int8.scales();
      float scale = Floats.get(scales.memory(), scales.dtype(), row * groups + g);
      Floats.set(out.asSlice(at), DType.F16, 0, scale);
      MemorySegment.copy(int8.values().memory(), row * int8.cols() + g * block, out, at + 2, block);
    }
  }

  private void encode(
      GgmlType stored, Object source, long row, MemorySegment out, Deviation error, String module) {
    int cols =
        source instanceof Weight w
            ? Math.toIntExact(w.cols())
            : Math.toIntExact(((Tensor) source).elements());
    double[] before = new double[cols];
    Conversion.read(source, row, before);
    double[] after = before.clone();
    GgufEncoder.encode(stored, after, out, "%s: %s, row %d,".formatted(where, module, row));
    for (int c = 0; c < cols; c++) {
      error.difference += (before[c] - after[c]) * (before[c] - after[c]);
      error.norm += before[c] * before[c];
    }
  }
}
