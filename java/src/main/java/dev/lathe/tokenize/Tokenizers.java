package dev.lathe.tokenize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;

/** Finds the tokenizer that came with a model. */
public final class Tokenizers {
  private Tokenizers() {}

  /**
   * The tokenizer of the checkpoint's {@code tokenizer.json}.
   *
   * @throws InvalidInputException if it is missing or broken
   */
  public static Tokenizer load(Checkpoint checkpoint) {
    Path tokenizer =
        checkpoint
            .file("tokenizer.json")
            .orElseThrow(() ->
                new InvalidInputException(
                    checkpoint.path()
                        + " has no tokenizer.json"
                        + (checkpoint.file("tokenizer.model").isPresent()
                            ? "; tokenizer.model alone is not read, save the tokenizer in"
                                + " Hugging Face's fast format"
                            : ", which Lathe needs to turn text into tokens")));
    return HuggingFaceTokenizer.load(
        tokenizer, checkpoint.file("tokenizer_config.json"), checkpoint.config());
  }
}
