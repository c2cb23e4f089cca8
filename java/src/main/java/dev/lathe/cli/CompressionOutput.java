package dev.lathe.cli;

import dev.lathe.compress.CompressionResult;
import dev.lathe.compress.LayerResult;
import java.io.PrintStream;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What {@code quantize} and {@code prune} print.
 *
 * @param f32Bytes bytes of all parameters as F32, which {@code compression} compares with
 */
record CompressionOutput(CompressionResult result, long f32Bytes) {

  ObjectNode json() {
    ObjectNode json = Json.object();
    json.put("out", result.folder().toString());
    json.put("bytes", result.bytes());
    json.put("compression", (double) f32Bytes / result.bytes());
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
    out.printf(
        "%s: %,d bytes, %.2f times smaller than as F32%n",
        result.folder(), result.bytes(), (double) f32Bytes / result.bytes());
  }

  private static String line(String format, Object... cells) {
    return format.formatted(cells).stripTrailing();
  }
}
