package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/**
 * Named tensors, configuration, tokenizer and lineage, whatever the file format. Tensors are views
 * of the mapped files: nothing is copied to the heap, and pages are read when they are used.
 * Opening checks everything that a file can lie about before one weight is read.
 *
 * <p>Tensors must not be used after {@link #close()}.
 */
public interface Checkpoint extends AutoCloseable {

  /** The folder (or file) that was opened. */
  Path path();

  /** Every tensor of the files, in their order. */
  Map<String, TensorInfo> tensors();

  /**
   * A tensor as it lies in the file.
   *
   * @throws dev.lathe.error.InvalidInputException if there is none of that name; names the nearest
   */
  Tensor tensor(String name);

  /**
   * The matrix of a module ({@code model.layers.0.mlp.down_proj}), in whatever format its tensors
   * say: plain, INT8 or bitmap.
   *
   * @throws dev.lathe.error.InvalidInputException if it is missing or its parts do not fit
   */
  Weight weight(String module);

  /** True where {@link #weight} would find the module. */
  boolean hasWeight(String module);

  /**
   * The matrix of a module with rows and columns exchanged, where the file stores it so: GGUF has
   * GPT-2's matrices [outputs, inputs], Hugging Face [inputs, outputs].
   */
  default Optional<Weight> transposed(String module) {
    return Optional.empty();
  }

  /** {@code config.json}, as it is. */
  ObjectNode config();

  /**
   * The type that the model asks its keys and values to be kept in; empty where it leaves that to
   * whoever runs it.
   */
  default Optional<DType> cacheType() {
    return Optional.empty();
  }

  /** A file that came with the weights, {@code tokenizer.json} for one. */
  Optional<Path> file(String name);

  /**
   * What {@link #file} holds; where the format has no such file but knows what would be in it
   * ({@code tokenizer.json} of a GGUF file), that.
   *
   * @throws dev.lathe.error.InvalidInputException if it cannot be read
   */
  default Optional<byte[]> content(String name) {
    return file(name)
        .map(path -> {
          try {
            return Files.readAllBytes(path);
          } catch (IOException e) {
            throw new InvalidInputException(path + " cannot be read: " + e.getMessage(), e);
          }
        });
  }

  /** Where the weights come from: the hash of the parent and the recipe step, if recorded. */
  Lineage lineage();

  /** Bytes of the weight files as they are on disk. */
  long fileBytes();

  /** SHA-256 of the weight files and the configuration, hexadecimal; read on the first call. */
  String hash();

  @Override
  void close();
}
