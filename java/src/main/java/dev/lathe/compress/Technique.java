package dev.lathe.compress;

import dev.lathe.backend.Backend;
import dev.lathe.checkpoint.Checkpoint;
import java.nio.file.Path;
import java.util.Optional;

/** One way to make a model smaller. Has no state: the same input gives the same output. */
public interface Technique {

  /** Short, for tables: {@code int8}, {@code prune 50 %}. */
  String name();

  /** With every parameter that matters, for the lineage: {@code quantize w8a16 rtn …}. */
  String description();

  /** Why this can't be done to a model; empty where it can. */
  default Optional<String> refusal(Checkpoint in) {
    return Optional.empty();
  }

  /** The same of a model that is to run on a backend, which may lack what would be asked of it. */
  default Optional<String> refusal(Checkpoint in, Backend on) {
    return refusal(in);
  }

  /**
   * Writes a smaller model. One matrix is in memory at a time; the folder appears whole or not at
   * all.
   *
   * @param out a folder that does not exist yet
   * @throws dev.lathe.error.InvalidInputException if {@code out} exists, if there is a {@link
   *     #refusal}, or a weight is NaN or infinite: names the file, tensor, row and column
   */
  CompressionResult apply(Checkpoint in, Path out, Progress progress);
}
