package dev.lathe.checkpoint;

import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Says in {@code config.json} how the weights are stored, so that other engines can tell.
 *
 * <p>{@code quantization_config} is compressed-tensors' where the weights are what its {@code
 * int-quantized} format means: linear layers as INT8 per channel or per group, everything else
 * plain. Weights in any other format (bitmaps, a quantized embedding) only Lathe reads; then {@code
 * quant_method} is {@code lathe}, so that an engine which does not know it says so instead of
 * taking codes for weights. {@code lathe.weights} counts the modules of each format.
 */
final class StorageRecord {
  private static final String QUANTIZATION = "quantization_config";
  private static final String LATHE = "lathe";
  private static final String HEAD = "lm_head";

  private StorageRecord() {}

  /** How an INT8 module is stored. */
  private record Int8Kind(boolean symmetric, long groups, long groupSize, boolean even) {}

  /** A copy of the configuration, with the record of these tensors instead of any older one. */
  static ObjectNode into(ObjectNode config, List<TensorInfo> infos) {
    Map<String, TensorInfo> byName = new LinkedHashMap<>();
    infos.forEach(info -> byName.put(info.name(), info));
    Map<String, Integer> formats = new TreeMap<>();
    Map<String, Int8Kind> int8 = new LinkedHashMap<>();
    List<String> plain = new ArrayList<>();
    boolean bitmaps = false;
    for (TensorInfo info : infos) {
      if (info.name().endsWith(WeightFormat.BITMAP)) {
        bitmaps = true;
        String module = module(info, WeightFormat.BITMAP);
        TensorInfo values = byName.get(module + WeightFormat.VALUES);
        formats.merge("bitmap(" + typeName(values) + ")", 1, Integer::sum);
      } else if (info.name().endsWith(WeightFormat.WEIGHT) && info.shape().size() == 2) {
        String module = module(info, WeightFormat.WEIGHT);
        formats.merge(typeName(info), 1, Integer::sum);
        if (info.dtype() == DType.I8) {
          int8.put(module, kind(module, info, byName));
        } else {
          plain.add(module);
        }
      }
    }
    ObjectNode result = config.deepCopy();
    result.remove(List.of(QUANTIZATION, LATHE));
    if (int8.isEmpty() && !bitmaps) {
      return result;
    }
    boolean compatible =
        !bitmaps
            && new TreeSet<>(int8.values().stream().map(Int8Kind::toString).toList()).size() == 1
            && int8.values().iterator().next().even()
            && int8.keySet().stream().noneMatch(m -> isEmbedding(m) || m.equals(HEAD));
    result.set(
        QUANTIZATION,
        compatible
            ? compressedTensors(int8.values().iterator().next(), plain)
            : StrictJson.mapper().createObjectNode().put("quant_method", LATHE));
    ObjectNode weights = result.putObject(LATHE).put("format_version", 1).putObject("weights");
    formats.forEach(weights::put);
    return result;
  }

  private static Int8Kind kind(String module, TensorInfo info, Map<String, TensorInfo> byName) {
    TensorInfo scale = byName.get(module + WeightFormat.SCALE);
    if (scale == null) {
      throw new IllegalArgumentException(info.name() + " is I8 and has no scales");
    }
    long cols = info.shape().get(1);
    long groups = scale.shape().get(1);
    boolean symmetric = !byName.containsKey(module + WeightFormat.ZERO_POINT);
    return groups == 1
        ? new Int8Kind(symmetric, 1, 0, true)
        : new Int8Kind(symmetric, 0, Math.ceilDiv(cols, groups), cols % groups == 0);
  }

  private static ObjectNode compressedTensors(Int8Kind kind, List<String> plain) {
    ObjectNode root = StrictJson.mapper().createObjectNode();
    root.put("quant_method", "compressed-tensors")
        .put("format", "int-quantized")
        .put("quantization_status", "compressed");
    ObjectNode group = root.putObject("config_groups").putObject("group_0");
    group.putArray("targets").add("Linear");
    ObjectNode weights =
        group
            .putObject("weights")
            .put("num_bits", 8)
            .put("type", "int")
            .put("symmetric", kind.symmetric())
            .put("strategy", kind.groups() == 1 ? "channel" : "group")
            .put("dynamic", false);
    if (kind.groups() != 1) {
      weights.put("group_size", kind.groupSize());
    }
    group.putNull("input_activations").putNull("output_activations");
    ArrayNode ignore = root.putArray("ignore").add(HEAD);
    plain.stream()
        .filter(module -> !isEmbedding(module) && !module.equals(HEAD))
        .forEach(ignore::add);
    return root;
  }

  /** Modules that compressed-tensors' target {@code Linear} does not mean, by their usual names. */
  private static boolean isEmbedding(String module) {
    return module.endsWith("embed_tokens") || module.endsWith(".wte") || module.endsWith(".wpe");
  }

  private static String module(TensorInfo info, String suffix) {
    return info.name().substring(0, info.name().length() - suffix.length());
  }

  private static String typeName(TensorInfo info) {
    return info.dtype() == DType.I8 ? "int8" : info.dtype().name().toLowerCase(Locale.ROOT);
  }
}
