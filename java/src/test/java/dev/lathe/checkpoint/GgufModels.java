package dev.lathe.checkpoint;

import java.nio.file.Path;
import java.util.List;

/** Small GGUF files for tests of other packages. */
public final class GgufModels {
  private GgufModels() {}

  /** A file with a byte-level tokenizer; its last token is a special one. */
  public static Path byteLevel(Path file, String pre, List<String> tokens, List<String> merges) {
    int[] types = new int[tokens.size()];
    java.util.Arrays.fill(types, 1);
    types[types.length - 1] = 3;
    GgufFixture fixture =
        GgufFixture.tinyLlama(tokens.size())
            .string("tokenizer.ggml.model", "gpt2")
            .string("tokenizer.ggml.pre", pre)
            .strings("tokenizer.ggml.tokens", tokens)
            .strings("tokenizer.ggml.merges", merges)
            .ints("tokenizer.ggml.token_type", types);
    SafetensorsFixture.write(file, fixture.bytes());
    return file;
  }
}
