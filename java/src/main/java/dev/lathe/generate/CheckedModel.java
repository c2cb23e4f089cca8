package dev.lathe.generate;

import dev.lathe.backend.Backend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointValidation;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.Decoder;
import dev.lathe.tensor.DType;
import dev.lathe.tokenize.Tokenizer;
import java.util.Optional;

/** What a model from a user is checked for before anything is computed from it. */
public final class CheckedModel {
  private CheckedModel() {}

  /**
   * A decoder whose weights are all finite; reads every one of them.
   *
   * @throws InvalidInputException as {@link Decoder#load}, or if a weight is NaN or infinite
   */
  public static Decoder load(Checkpoint checkpoint, Backend backend) {
    return load(checkpoint, backend, Optional.empty());
  }

  /**
   * The same with keys and values in a given type.
   *
   * @param cacheType as of {@link Decoder#load(Checkpoint, Backend, Optional)}
   */
  public static Decoder load(Checkpoint checkpoint, Backend backend, Optional<DType> cacheType) {
    CheckpointValidation.requireFinite(checkpoint);
    return Decoder.load(checkpoint, backend, cacheType);
  }

  /**
   * Every id that the tokenizer makes has a row in the embedding. The other way round is fine:
   * models pad their vocabulary.
   *
   * @throws InvalidInputException if the tokenizer belongs to another model
   */
  public static void requireVocabulary(
      Checkpoint checkpoint, Decoder decoder, Tokenizer tokenizer) {
    int rows = decoder.config().vocabulary();
    if (tokenizer.vocabularySize() > rows) {
      throw new InvalidInputException(
          "%s: tokenizer.json has token ids up to %d, but the embedding has %d rows (vocab_size in"
                  .formatted(checkpoint.path(), tokenizer.vocabularySize() - 1, rows)
              + " config.json): the tokenizer belongs to another model");
    }
  }
}
