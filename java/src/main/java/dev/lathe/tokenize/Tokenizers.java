package dev.lathe.tokenize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.StrictJson;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/** Finds the tokenizer that came with a model. */
public final class Tokenizers {
  private static final String TOKENIZER = "tokenizer.json";
  private static final String TOKENIZER_CONFIG = "tokenizer_config.json";

  private Tokenizers() {}

  /**
   * The tokenizer of the checkpoint's {@code tokenizer.json}, or of what stands for it in a GGUF
   * file.
   *
   * @throws InvalidInputException if it is missing or broken
   */
  public static Tokenizer load(Checkpoint checkpoint) {
    byte[] tokenizer =
        checkpoint
            .content(TOKENIZER)
            .orElseThrow(() ->
                new InvalidInputException(
                    checkpoint.path()
                        + " has no tokenizer.json"
                        + (checkpoint.file("tokenizer.model").isPresent()
                            ? "; tokenizer.model alone is not read, save the tokenizer in"
                                + " Hugging Face's fast format"
                            : ", which Lathe needs to turn text into tokens")));
    Optional<ObjectNode> companion =
        checkpoint
            .content(TOKENIZER_CONFIG)
            .map(bytes -> StrictJson.parseObject(bytes, place(checkpoint, TOKENIZER_CONFIG)));
    return HuggingFaceTokenizer.load(
        tokenizer, companion, checkpoint.config(), place(checkpoint, TOKENIZER));
  }

  private static String place(Checkpoint checkpoint, String name) {
    return checkpoint.file(name).map(Path::toString).orElse(checkpoint.path() + ": " + name);
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
