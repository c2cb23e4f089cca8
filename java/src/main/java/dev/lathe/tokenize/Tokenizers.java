package dev.lathe.tokenize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;

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

  /**
   * Why text cannot be turned into tokens on this machine; empty where a tokenizer of two words
   * could be made and used.
   */
  public static Optional<String> whyUnusable() {
    String words =
        """
        {"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
         "pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
         "model":{"type":"WordLevel","vocab":{"measure":0,"twice":1,"?":2},"unk_token":"?"}}
        """;
    try (NativeTokenizer tokenizer = new NativeTokenizer(words.getBytes(StandardCharsets.UTF_8))) {
      int[] ids = tokenizer.encode("measure twice cut");
      return Arrays.equals(ids, new int[] {0, 1, 2})
          ? Optional.empty()
          : Optional.of(
              "the tokenizer library encoded \"measure twice cut\" as %s instead of [0, 1, 2]"
                  .formatted(Arrays.toString(ids)));
    } catch (LatheException e) {
      return Optional.of(e.getMessage());
    }
  }
}
