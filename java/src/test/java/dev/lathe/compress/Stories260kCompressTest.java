package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.SharedFiles;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.tensor.Weight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the techniques make of a real model. */
final class Stories260kCompressTest {
  /** 260,032 weights. */
  private static final long F32_BYTES = 1_040_128;

  private final Path model = SharedFiles.require("models/stories260k");

  @TempDir Path folder;

  @Test
  void int8TakesAQuarter() throws IOException {
    try (Checkpoint in = Checkpoints.open(model)) {
      CompressionResult result =
          new QuantizeInt8(true).apply(in, folder.resolve("int8"), Progress.SILENT);
      assertThat(result.layers()).hasSize(36);
      long onDisk = Files.size(folder.resolve("int8").resolve(Checkpoints.WEIGHTS));
      assertThat(result.bytes()).isEqualTo(onDisk);
      assertThat(onDisk).isLessThanOrEqualTo(Math.round(0.27 * F32_BYTES));
      // 127 steps either side of zero: an error of about 1 / (127 sqrt(12)) of the largest weight.
      assertThat(result.layers())
          .allSatisfy(layer -> assertThat(layer.relativeError()).isBetween(0.001, 0.02));
      assertThat(folder.resolve("int8/tokenizer.json"))
          .hasSameBinaryContentAs(model.resolve("tokenizer.json"));
      // Zero points and their entries in the header: another 3,512 bytes and some.
      CompressionResult asymmetric =
          new QuantizeInt8(false).apply(in, folder.resolve("asymmetric"), Progress.SILENT);
      assertThat(asymmetric.bytes() - onDisk).isBetween(3_512L, 3_512L + 36 * 130);
      System.out.printf("stories260k int8 asymmetric: %,d bytes%n", asymmetric.bytes());
      System.out.printf(
          "stories260k int8: %,d bytes, %.2f %% of F32%n", onDisk, 100.0 * onDisk / F32_BYTES);
    }
  }

  @Test
  void pruningShrinksTheFile() throws IOException {
    try (Checkpoint in = Checkpoints.open(model)) {
      for (Scope scope : Scope.values()) {
        Path out = folder.resolve("half" + scope);
        CompressionResult result = new MagnitudePrune(0.5, scope).apply(in, out, Progress.SILENT);
        long linear = 0;
        long kept = 0;
        try (Checkpoint pruned = Checkpoints.open(out)) {
          for (LayerResult layer : result.layers()) {
            if (!layer.name().equals("model.embed_tokens")) {
              Weight.Bitmap weight = (Weight.Bitmap) pruned.weight(layer.name());
              linear += weight.rows() * weight.cols();
              kept += weight.values().elements();
            }
          }
        }
        assertThat(linear).isEqualTo(226_560);
        assertThat(kept).isEqualTo(linear / 2);
        long onDisk = Files.size(out.resolve(Checkpoints.WEIGHTS));
        assertThat(result.bytes()).isEqualTo(onDisk).isLessThan(F32_BYTES * 62 / 100);
        System.out.printf(
            "stories260k pruned by half (%s): %,d bytes, %.2f %% of F32%n",
            scope, onDisk, 100.0 * onDisk / F32_BYTES);
      }
    }
  }
}
