package dev.lathe.cli;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.compress.CompressionResult;
import dev.lathe.compress.LayerResult;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.DType;
import java.io.PrintStream;
import java.util.Optional;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What {@code quantize} and {@code prune} print.
 *
 * @param f32Bytes bytes of all parameters as F32, which {@code compression} compares with
 * @param cache of a model that asks for a type of keys and values
 */
record CompressionOutput(CompressionResult result, long f32Bytes, Optional<Cache> cache) {
  /**
   * @param type {@code int8}
   * @param bytes that a token takes, scales included
   * @param f32Bytes that it would take as F32
   */
  record Cache(String type, long bytes, long f32Bytes) {}

  /** With what the model that was written says of its keys and values. */
  static CompressionOutput of(CompressionResult result, long f32Bytes) {
    try (Checkpoint written = Checkpoints.open(result.folder())) {
      return new CompressionOutput(
          result, f32Bytes, written.cacheType().map(type -> cache(written, type)));
    }
  }

  private static Cache cache(Checkpoint written, DType type) {
    ModelConfig config = ModelConfig.parse(written.config(), written.path() + ": config.json");
    return new Cache(
        type.label(), config.cacheBytesPerToken(type), config.cacheBytesPerToken(DType.F32));
  }

  ObjectNode json() {
    ObjectNode json = Json.object();
    json.put("out", result.folder().toString());
    json.put("bytes", result.bytes());
    json.put("compression", (double) f32Bytes / result.bytes());
    cache.ifPresent(
        kv -> json.put("kv_cache_type", kv.type()).put("kv_bytes_per_token", kv.bytes()));
    ArrayNode layers = json.putArray("layers");
    for (LayerResult layer : result.layers()) {
      ObjectNode one = layers.addObject();
      one.put("name", layer.name());
      one.put("error", Json.orNull(layer.relativeError()));
      one.put("format", layer.format());
      one.put("bytes_before", layer.bytesBefore());
      one.put("bytes_after", layer.bytesAfter());
      one.put("sparsity", layer.sparsity());
      if (!layer.note().isEmpty()) {
        one.put("note", layer.note());
      }
    }
    return json;
  }

  void print(PrintStream out) {
    if (!result.layers().isEmpty()) {
      printLayers(out);
    }
    out.printf(
        "%s: %,d bytes, %.2f times smaller than as F32%n",
        result.folder(), result.bytes(), (double) f32Bytes / result.bytes());
    cache.ifPresent(kv ->
        out.printf(
            "keys and values as %s: %,d bytes a token, %.2f times smaller than as F32%n",
            kv.type(), kv.bytes(), (double) kv.f32Bytes() / kv.bytes()));
  }

  private void printLayers(PrintStream out) {
    int width = result.layers().stream().mapToInt(layer -> layer.name().length()).max().orElse(5);
    String row = "%-" + width + "s  %-16s %12s %12s %10s %9s  %s";
    out.println(
        line(row, "layer", "format", "bytes before", "bytes after", "error", "sparsity", ""));
    for (LayerResult layer : result.layers()) {
      out.println(
          line(
              row,
              layer.name(),
              layer.format(),
              "%,d".formatted(layer.bytesBefore()),
              "%,d".formatted(layer.bytesAfter()),
              "%.4f %%".formatted(100 * layer.relativeError()),
              "%.1f %%".formatted(100 * layer.sparsity()),
              layer.note()));
    }
  }

  private static String line(String format, Object... cells) {
    return format.formatted(cells).stripTrailing();
  }
}
