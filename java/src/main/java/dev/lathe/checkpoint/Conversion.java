package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongConsumer;

/** A checkpoint in another format or element type; what is stored is otherwise the same. */
public final class Conversion {
  /** Element types of the command line. */
  public enum Type {
    F32,
    F16,
    BF16,
    Q8_0
  }

  /**
   * One matrix.
   *
   * @param error {@code ||w - w'|| / ||w||}, Frobenius norms; 0 where w is 0
   * @param note what is not as asked, and why; else empty
   */
  public record Layer(
      String name, String format, long bytesBefore, long bytesAfter, double error, String note) {}

  /**
   * @param notes what other engines will do differently
   */
  public record Result(Path out, long bytes, List<Layer> layers, List<String> notes) {}

  private Conversion() {}

  /**
   * A GGUF file of version 3.
   *
   * @param type of all matrices; without it each keeps its own. Vectors are F32 in that format
   * @throws InvalidInputException if the architecture, tokenizer or a format of a matrix has no
   *     counterpart; says what would help
   */
  public static Result toGguf(
      Checkpoint in, Path out, Optional<Type> type, String tool, LongConsumer bytesDone) {
    if (!out.getFileName().toString().toLowerCase(Locale.ROOT).endsWith(Checkpoints.GGUF)) {
      throw new InvalidInputException(out + ": the name of a GGUF file must end with .gguf");
    }
    OutputFolder.requireNew(out);
    return new GgufExport(in, out, type, tool).write(bytesDone);
  }

  /**
   * A folder with safetensors.
   *
   * @param type of all floating tensors; without it each keeps its own
   */
  public static Result toSafetensors(
      Checkpoint in, Path out, Optional<Type> type, String tool, LongConsumer bytesDone) {
    if (type.filter(t -> t == Type.Q8_0).isPresent()) {
      throw new InvalidInputException(
          "--dtype q8_0 is a type of GGUF files; for safetensors there are f32, f16, bf16, and the"
              + " verb quantize");
    }
    List<Layer> layers = new ArrayList<>();
    CheckpointWriter writer =
        CheckpointWriter.create(out)
            .config(in.config())
            .copyCompanions(in)
            .lineage(lineage(in, "convert safetensors", type, tool));
    for (TensorInfo info : in.tensors().values()) {
      DType dtype =
          type.filter(_ -> info.dtype().isFloating() && !info.name().contains(".weight_"))
              .map(t -> DType.valueOf(t.name()))
              .orElse(info.dtype());
      TensorInfo written = new TensorInfo(info.name(), dtype, info.shape());
      writer.group(
          List.of(written), () -> List.of(converted(in.tensor(info.name()), written, layers)));
    }
    CheckpointWriter.Written written = writer.write(bytesDone);
    return new Result(written.folder(), written.weightFileBytes(), layers, List.of());
  }

  private static Tensor converted(Tensor tensor, TensorInfo written, List<Layer> layers) {
    Tensor result = tensor;
    double difference = 0;
    double norm = 0;
    if (written.dtype() != tensor.dtype()) {
      java.lang.foreign.MemorySegment memory =
          java.lang.foreign.Arena.ofAuto().allocate(written.bytes(), 64);
      for (long i = 0; i < written.elements(); i++) {
        float before = Floats.get(tensor.memory(), tensor.dtype(), i);
        Floats.set(memory, written.dtype(), i, before);
        float after = Floats.get(memory, written.dtype(), i);
        if (Float.isFinite(before) && !Float.isFinite(after)) {
          throw new InvalidInputException(
              "%s has %s, which %s cannot hold; bf16 and f32 hold all finite weights"
                  .formatted(written.name(), before, written.dtype()));
        }
        difference += ((double) before - after) * ((double) before - after);
        norm += (double) before * before;
      }
      result = Tensor.of(memory, written.dtype(), written.dimensions());
    }
    if (written.shape().size() == 2 && written.name().endsWith(WeightFormat.WEIGHT)) {
      layers.add(
          new Layer(
              written.name().substring(0, written.name().length() - WeightFormat.WEIGHT.length()),
              written.dtype().name().toLowerCase(Locale.ROOT),
              tensor.bytes(),
              written.bytes(),
              norm == 0 ? 0 : Math.sqrt(difference / norm),
              ""));
    }
    return result;
  }

  static Lineage lineage(Checkpoint in, String what, Optional<Type> type, String tool) {
    String technique = what + type.map(t -> " " + t.name().toLowerCase(Locale.ROOT)).orElse("");
    return in.lineage().with(new Lineage.Step(in.hash(), technique, tool));
  }

  /** A row of a matrix, or a whole vector, as numbers. */
  static void read(Object source, long row, double[] out) {
    switch (source) {
      case Weight weight -> WeightRows.read(weight, row, out);
      case Tensor vector -> {
        for (int c = 0; c < out.length; c++) {
          out[c] = Floats.get(vector.memory(), vector.dtype(), c);
        }
      }
      default -> throw new IllegalArgumentException("neither matrix nor vector: " + source);
    }
  }
}
