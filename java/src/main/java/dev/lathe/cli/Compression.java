package dev.lathe.cli;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.compress.CompressionResult;
import dev.lathe.compress.Technique;
import dev.lathe.generate.CheckedModel;
import dev.lathe.tensor.Weight;
import java.nio.file.Path;

/** What {@code quantize} and {@code prune} share: one technique, from folder to folder. */
final class Compression {
  private static final String WEIGHT = ".weight";

  private Compression() {}

  static void run(Technique technique, Path in, Path out, JsonOption output, Console console) {
    CompressionResult result;
    long f32Bytes;
    try (Checkpoint checkpoint = Checkpoints.open(in);
        Progress progress = new Progress(console)) {
      // A model that would not run is not worth making smaller: everything that loading checks.
      try (ReferenceBackend anywhere = new ReferenceBackend()) {
        CheckedModel.load(checkpoint, anywhere).close();
      }
      f32Bytes = f32Bytes(checkpoint);
      result =
          technique.apply(
              checkpoint,
              out,
              (what, done, total) ->
                  progress.update(technique.name() + ": " + what, done >> 10, total >> 10, "KiB"));
    }
    CompressionOutput told = CompressionOutput.of(result, f32Bytes);
    if (output.json) {
      Json.print(told.json(), console.out());
    } else {
      told.print(console.out());
    }
  }

  /** What all parameters take as F32, whatever format they lie in: 4 bytes each. */
  static long f32Bytes(Checkpoint checkpoint) {
    long parameters = 0;
    for (TensorInfo tensor : checkpoint.tensors().values()) {
      String name = tensor.name();
      int at = name.lastIndexOf(WEIGHT);
      String part = at < 0 ? "" : name.substring(at + WEIGHT.length());
      switch (part) {
        // Plain and INT8 matrices, norms; and biases, which have no ".weight" in their names.
        case "" -> parameters += tensor.elements();
        case "_bitmap" -> {
          Weight weight = checkpoint.weight(name.substring(0, at));
          parameters += weight.rows() * weight.cols();
        }
        default -> {} // scales, zero points, shapes, and the values that a bitmap counts
      }
    }
    return parameters * Float.BYTES;
  }
}
