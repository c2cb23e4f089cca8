package dev.lathe.compress;

import dev.lathe.backend.HostMemory;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointValidation;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.checkpoint.WeightFormat;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Writes a checkpoint anew, some of its matrices changed: what all techniques have in common. A
 * matrix is made when it is its turn to be written, and freed before the next one is made.
 */
final class Rewrite implements AutoCloseable {

  /** What a technique does to a matrix. */
  sealed interface Plan {

    /** Its tensors go over as they are. */
    record Keep(String why) implements Plan {}

    /**
     * Its tensors go over as they are, and its activations become INT8.
     *
     * @param why in words, for the result
     */
    record QuantizeActivations(String why) implements Plan {}

    /**
     * It is stored in another way.
     *
     * @param infos what will be written, known before it is made
     * @param activations that it is multiplied by
     * @param make the weight, in the memory that is given
     */
    record Replace(
        List<TensorInfo> infos, ActivationFormat activations, Function<HostMemory, Weight> make)
        implements Plan {

      Replace(List<TensorInfo> infos, Function<HostMemory, Weight> make) {
        this(infos, ActivationFormat.FLOAT, make);
      }
    }
  }

  /** What a technique does to each matrix. */
  interface Planner {
    Plan plan(Contents.Matrix matrix, FiniteRows rows);
  }

  private final Checkpoint in;
  private final List<LayerResult> layers = new ArrayList<>();
  private HostMemory memory = new HostMemory();

  private Rewrite(Checkpoint in) {
    this.in = in;
  }

  /**
   * A matrix that would not become smaller stays as it is; its result says so.
   *
   * @param technique for the lineage
   * @param planning begins when the output folder has been found to be free
   */
  static CompressionResult run(
      Checkpoint in, Path out, String technique, Progress progress, Supplier<Planner> planning) {
    CheckpointWriter writer = writer(in, out, technique);
    try (Rewrite rewrite = new Rewrite(in)) {
      Planner planner = planning.get();
      for (Contents.Part part : Contents.of(in)) {
        switch (part) {
          case Contents.Other other -> writer.group(other.tensors(), () -> rewrite.copy(other));
          case Contents.Matrix matrix -> rewrite.add(writer, matrix, planner);
        }
      }
      return rewrite.write(writer, progress);
    }
  }

  /**
   * No matrix is touched, so the result has none.
   *
   * @param technique for the lineage
   * @param change what is said of the model anew
   */
  static CompressionResult weightsAsTheyAre(
      Checkpoint in,
      Path out,
      String technique,
      Progress progress,
      Consumer<CheckpointWriter> change) {
    CheckpointWriter writer = writer(in, out, technique);
    change.accept(writer);
    try (Rewrite rewrite = new Rewrite(in)) {
      for (Contents.Part part : Contents.of(in)) {
        writer.group(part.tensors(), () -> rewrite.copy(part));
      }
      return rewrite.write(writer, progress);
    }
  }

  private static CheckpointWriter writer(Checkpoint in, Path out, String technique) {
    return CheckpointWriter.create(out)
        .config(in.config())
        .copyCompanions(in)
        .lineage(in.lineage().with(new Lineage.Step(in.hash(), technique, Lineage.tool())));
  }

  private CompressionResult write(CheckpointWriter writer, Progress progress) {
    long total = writer.plannedBytes();
    CheckpointWriter.Written written =
        writer.write(done -> progress.update("writing", done, total));
    return new CompressionResult(written.folder(), written.weightFileBytes(), layers);
  }

  private void add(CheckpointWriter writer, Contents.Matrix matrix, Planner planner) {
    Plan plan = planner.plan(matrix, FiniteRows.of(in, matrix.module()));
    if (plan instanceof Plan.Replace replace) {
      long bytes = replace.infos().stream().mapToLong(TensorInfo::bytes).sum();
      if (bytes >= matrix.bytes()) {
        plan =
            new Plan.Keep("would take %,d bytes instead of %,d".formatted(bytes, matrix.bytes()));
      }
    }
    switch (plan) {
      case Plan.Keep keep ->
          writer.group(
              matrix.tensors(),
              () -> {
                Weight weight = in.weight(matrix.module());
                layers.add(result(matrix, weight, matrix.bytes(), 0, keep.why()));
                return copy(matrix);
              });
      case Plan.QuantizeActivations change -> {
        writer.int8Activations(matrix.module());
        writer.group(
            matrix.tensors(),
            () -> {
              Weight weight =
                  ((Weight.Int8) in.weight(matrix.module())).with(ActivationFormat.INT8);
              layers.add(result(matrix, weight, matrix.bytes(), 0, change.why()));
              return copy(matrix);
            });
      }
      case Plan.Replace replace -> {
        if (replace.activations() == ActivationFormat.INT8) {
          writer.int8Activations(matrix.module());
        }
        writer.group(replace.infos(), () -> make(matrix, replace));
      }
    }
  }

  /** What goes over as it is: norms and biases, and matrices that no technique looks into. */
  private List<Tensor> copy(Contents.Part part) {
    return part.tensors().stream().map(info -> finite(info)).toList();
  }

  private Tensor finite(TensorInfo info) {
    Tensor tensor = in.tensor(info.name());
    if (info.dtype().isFloating()) {
      CheckpointValidation.requireFinite(tensor, in.path() + ": " + info.name());
    }
    return tensor;
  }

  private List<Tensor> make(Contents.Matrix matrix, Plan.Replace replace) {
    memory.close();
    memory = new HostMemory();
    Weight before = in.weight(matrix.module());
    Weight after = replace.make().apply(memory);
    long bytes = replace.infos().stream().mapToLong(TensorInfo::bytes).sum();
    layers.add(result(matrix, after, bytes, RelativeError.of(before, after), ""));
    return WeightFormat.parts(after);
  }

  static LayerResult result(
      Contents.Matrix matrix, Weight weight, long bytes, double error, String note) {
    double sparsity =
        weight instanceof Weight.Bitmap bitmap
            ? 1 - (double) bitmap.values().size(0) / ((double) bitmap.rows() * bitmap.cols())
            : 0;
    return new LayerResult(
        matrix.module(), weight.format(), matrix.bytes(), bytes, error, sparsity, note);
  }

  @Override
  public void close() {
    memory.close();
  }
}
