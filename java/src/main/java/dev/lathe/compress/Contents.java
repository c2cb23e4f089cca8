package dev.lathe.compress;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A checkpoint as matrices and the rest, in the order of the file. A matrix is a module whose
 * {@code weight} has two dimensions, however it is stored: {@code X.weight}, {@code
 * X.weight_bitmap}, and with it every {@code X.weight_…}. The rest (norms, biases, what is not
 * known here) goes from file to file as it is.
 */
final class Contents {
  private static final String WEIGHT = ".weight";
  private static final String BITMAP = ".weight_bitmap";

  /** Tables of embeddings, and the matrix that turns the last hidden state into logits. */
  private static final Set<String> EMBEDDINGS_AND_HEADS =
      Set.of("embed_tokens", "wte", "wpe", "lm_head");

  /** Tensors that belong together. */
  sealed interface Part {
    List<TensorInfo> tensors();

    default long bytes() {
      return tensors().stream().mapToLong(TensorInfo::bytes).sum();
    }
  }

  record Matrix(String module, List<TensorInfo> tensors) implements Part {
    boolean isEmbeddingOrHead() {
      return EMBEDDINGS_AND_HEADS.contains(module.substring(module.lastIndexOf('.') + 1));
    }
  }

  record Other(List<TensorInfo> tensors) implements Part {}

  private Contents() {}

  static List<Part> of(Checkpoint checkpoint) {
    Map<String, List<TensorInfo>> matrices = new HashMap<>();
    for (TensorInfo info : checkpoint.tensors().values()) {
      boolean values = info.dtype() != DType.I32 && info.dtype() != DType.I64;
      boolean plain = info.name().endsWith(WEIGHT) && info.shape().size() == 2 && values;
      if (plain || info.name().endsWith(BITMAP)) {
        matrices.put(module(info.name()), new ArrayList<>());
      }
    }
    // The first tensor of a matrix says where in the order it stands.
    Map<String, List<TensorInfo>> grouped = new LinkedHashMap<>();
    for (TensorInfo info : checkpoint.tensors().values()) {
      String module = module(info.name());
      String key = matrices.containsKey(module) ? module : info.name();
      grouped.computeIfAbsent(key, _ -> new ArrayList<>()).add(info);
    }
    List<Part> parts = new ArrayList<>();
    grouped.forEach((key, tensors) ->
        parts.add(matrices.containsKey(key) ? new Matrix(key, tensors) : new Other(tensors)));
    return parts;
  }

  static List<Matrix> matrices(Checkpoint checkpoint) {
    return of(checkpoint).stream()
        .filter(Matrix.class::isInstance)
        .map(Matrix.class::cast)
        .toList();
  }

  /** What stands before {@code .weight} or {@code .weight_…}; nothing for other names. */
  private static String module(String tensor) {
    int end = tensor.lastIndexOf(WEIGHT);
    if (end < 0) {
      return "";
    }
    String suffix = tensor.substring(end + WEIGHT.length());
    return suffix.isEmpty() || suffix.startsWith("_") ? tensor.substring(0, end) : "";
  }
}
