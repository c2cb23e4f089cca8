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

  /** A file with pieces "a", "b" and "ab", {@code <s>} before a text, and a chat template. */
  public static byte[] withChatTemplate(String template) {
    return pieces().string("tokenizer.chat_template", template).bytes();
  }

  static GgufFixture pieces() {
    return GgufFixture.tinyLlama(6)
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", List.of("<unk>", "<s>", "a", "b", "ab", "<0x0A>"))
        .scores("tokenizer.ggml.scores", 0, 0, -1, -2, -3, 0)
        .ints("tokenizer.ggml.token_type", 2, 3, 1, 1, 1, 6)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.unknown_token_id", 0)
        .bool("tokenizer.ggml.add_bos_token", 1);
  }
}
