package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import tools.jackson.databind.JsonNode;
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
 *
 * <p>Whether the activations of an INT8 module are INT8 too ({@link ActivationFormat}) is said here
 * alone: by compressed-tensors' {@code input_activations} (8 bits, symmetric, dynamic, by token),
 * else by the list {@code lathe.int8_activations}.
 *
 * <p>That keys and values are to be kept as INT8 is {@code lathe.kv_cache}, which says nothing of
 * the weights: beside plain ones it stands alone, and engines that do not know it read the model as
 * before. It stays, whatever becomes of the weights.
 */
final class StorageRecord {
  private static final String QUANTIZATION = "quantization_config";
  private static final String LATHE = "lathe";
  private static final String HEAD = "lm_head";
  private static final String INT8_ACTIVATIONS = "int8_activations";
  private static final String KV_CACHE = "kv_cache";

  private StorageRecord() {}

  /** How an INT8 module is stored. */
  private record Int8Kind(boolean symmetric, long groups, long groupSize, boolean even) {}

  /**
   * A copy of the configuration, with the record of these tensors instead of any older one. What
   * the older one said of activations stays true of modules that are still INT8, and what it said
   * of keys and values stays true.
   *
   * @param int8Activations modules of which it becomes true
   * @param int8Cache whether it becomes true of keys and values
   */
  static ObjectNode into(
      ObjectNode config,
      List<TensorInfo> infos,
      Collection<String> int8Activations,
      boolean int8Cache) {
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
    boolean cached = int8Cache || cacheType("", config).isPresent();
    boolean plainWeights = int8.isEmpty() && !bitmaps;
    if (plainWeights && !cached) {
      return result;
    }
    ObjectNode lathe = StrictJson.mapper().createObjectNode().put("format_version", 1);
    if (cached) {
      lathe.put(KV_CACHE, DType.I8.label());
    }
    if (plainWeights) {
      result.set(LATHE, lathe);
      return result;
    }
    Predicate<String> before = int8Activations("", config);
    Set<String> activations = new TreeSet<>();
    int8.forEach((module, kind) -> {
      boolean takes = kind.symmetric() && kind.groups() == 1;
      if (takes && (int8Activations.contains(module) || before.test(module))) {
        activations.add(module);
      }
    });
    boolean compatible =
        !bitmaps
            && (activations.isEmpty() || activations.size() == int8.size())
            && new TreeSet<>(int8.values().stream().map(Int8Kind::toString).toList()).size() == 1
            && int8.values().iterator().next().even()
            && int8.keySet().stream().allMatch(StorageRecord::isInnerLayer);
    result.set(
        QUANTIZATION,
        compatible
            ? compressedTensors(int8.values().iterator().next(), plain, !activations.isEmpty())
            : StrictJson.mapper().createObjectNode().put("quant_method", LATHE));
    result.set(LATHE, lathe);
    ObjectNode weights = lathe.putObject("weights");
    formats.forEach(weights::put);
    if (!compatible && !activations.isEmpty()) {
      ArrayNode names = lathe.putArray(INT8_ACTIVATIONS);
      activations.forEach(names::add);
    }
    return result;
  }

  /**
   * The modules whose activations are INT8, by a configuration; others may be named too, and take
   * them only where they are INT8 with one scale a row.
   *
   * @param where for messages
   * @throws InvalidInputException if Lathe's own list is no list of names
   */
  static Predicate<String> int8Activations(String where, ObjectNode config) {
    JsonNode names = config.path(LATHE).path(INT8_ACTIVATIONS);
    if (!names.isMissingNode()) {
      Set<String> modules = new HashSet<>();
      boolean list = names.isArray();
      for (JsonNode name : names) {
        list &= name.isString();
        modules.add(name.asString(""));
      }
      if (!list) {
        throw new InvalidInputException(
            "%s: %s.%s must be a list of names of modules"
                .formatted(where, LATHE, INT8_ACTIVATIONS));
      }
      return modules::contains;
    }
    JsonNode quantization = config.path(QUANTIZATION);
    if (!quantization.path("quant_method").asString("").equals("compressed-tensors")) {
      return _ -> false;
    }
    List<JsonNode> groups = new ArrayList<>();
    quantization.path("config_groups").forEach(groups::add);
    Set<String> ignored = new HashSet<>();
    quantization.path("ignore").forEach(name -> ignored.add(name.asString("")));
    // Several groups, other targets and patterns are for exact rules of who is meant: not read.
    boolean plain =
        groups.size() == 1
            && isLinear(groups.getFirst().path("targets"))
            && ignored.stream().noneMatch(name -> name.startsWith("re:"));
    return plain && isInt8ByToken(groups.getFirst().path("input_activations"))
        ? module -> !ignored.contains(module) && !isEmbedding(module)
        : _ -> false;
  }

  /**
   * The type that a configuration asks keys and values to be kept in; empty where it doesn't say.
   *
   * @param where for messages
   * @throws InvalidInputException if it asks for a type that there is no record of
   */
  static Optional<DType> cacheType(String where, ObjectNode config) {
    JsonNode type = config.path(LATHE).path(KV_CACHE);
    if (type.isMissingNode()) {
      return Optional.empty();
    }
    if (!type.asString("").equals(DType.I8.label())) {
      throw new InvalidInputException(
          "%s: %s.%s is %s; allowed: \"%s\", or no such key, which leaves the type of keys and values to the backend"
              .formatted(where, LATHE, KV_CACHE, type, DType.I8.label()));
    }
    return Optional.of(DType.I8);
  }

  private static boolean isLinear(JsonNode targets) {
    return targets.size() == 1 && targets.path(0).asString("").equals("Linear");
  }

  private static boolean isInt8ByToken(JsonNode activations) {
    return activations.path("num_bits").asInt(0) == 8
        && activations.path("type").asString("").equals("int")
        && activations.path("strategy").asString("").equals("token")
        && activations.path("symmetric").asBoolean(false)
        && activations.path("dynamic").asBoolean(false);
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

  private static ObjectNode compressedTensors(
      Int8Kind kind, List<String> plain, boolean int8Activations) {
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
    if (int8Activations) {
      group
          .putObject("input_activations")
          .put("num_bits", 8)
          .put("type", "int")
          .put("symmetric", true)
          .put("strategy", "token")
          .put("dynamic", true);
    } else {
      group.putNull("input_activations");
    }
    group.putNull("output_activations");
    ArrayNode ignore = root.putArray("ignore").add(HEAD);
    plain.stream().filter(StorageRecord::isInnerLayer).forEach(ignore::add);
    return root;
  }

  /** Modules that compressed-tensors' target {@code Linear} does not mean, by their usual names. */
  private static boolean isEmbedding(String module) {
    return module.endsWith("embed_tokens") || module.endsWith(".wte") || module.endsWith(".wpe");
  }

  /** Neither an embedding nor the head, by their usual names. */
  static boolean isInnerLayer(String module) {
    return !isEmbedding(module) && !module.equals(HEAD);
  }

  private static String module(TensorInfo info, String suffix) {
    return info.name().substring(0, info.name().length() - suffix.length());
  }

  private static String typeName(TensorInfo info) {
    return info.dtype().label();
  }
}
