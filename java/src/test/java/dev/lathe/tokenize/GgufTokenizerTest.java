package dev.lathe.tokenize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.SharedFiles;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.GgufModels;
import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The tokenizers of GGUF files: pieces with scores, and byte-level BPE. */
class GgufTokenizerTest {
  /** By id: what the tests below expect. */
  private static final List<String> BYTE_LEVEL =
      List.of("a", "b", "Ġ", "ab", "Ġab", "1", "2", "12", "Ã", "©", "Ã©", "<|end|>");

  private static final List<String> MERGES = List.of("a b", "Ġ ab", "1 2", "Ã ©");

  @TempDir Path folder;

  @Test
  void aRealFileEncodesAsTheTokenizerOfItsSafetensors() throws IOException {
    Path gguf = SharedFiles.require("models/stories260k.gguf");
    String text = Files.readString(SharedFiles.require("datasets/tinystories.txt"));
    List<String> texts =
        Arrays.stream(text.split("<\\|endoftext\\|>")).limit(200).map(String::strip).toList();
    try (Checkpoint one = Checkpoints.open(gguf);
        Checkpoint other = Checkpoints.open(SharedFiles.require("models/stories260k"));
        Tokenizer tokenizer = Tokenizers.load(one);
        Tokenizer expected = Tokenizers.load(other)) {
      List<int[]> ids = tokenizer.encodeAll(texts);
      List<int[]> expectedIds = expected.encodeAll(texts);
      for (int i = 0; i < texts.size(); i++) {
        assertThat(ids.get(i)).isEqualTo(expectedIds.get(i));
        assertThat(tokenizer.decode(ids.get(i))).isEqualTo(texts.get(i));
      }
      String odd = "Zoë paid 3€!\n \t日本 👍 <s> ▁";
      assertThat(tokenizer.encode(odd)).isEqualTo(expected.encode(odd));
      assertThat(tokenizer.beginOfSequence()).isEqualTo(expected.beginOfSequence()).hasValue(1);
      assertThat(tokenizer.vocabularySize()).isEqualTo(512);
    }
  }

  private Path byteLevel(String pre) {
    return GgufModels.byteLevel(folder.resolve("bytes.gguf"), pre, BYTE_LEVEL, MERGES);
  }

  @Test
  void byteLevelMergesInOrderAndSplitsFirst() {
    try (Checkpoint checkpoint = Checkpoints.open(byteLevel("gpt-2"));
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      assertThat(tokenizer.encode("ab ab")).containsExactly(3, 4);
      assertThat(tokenizer.encode("é12")).containsExactly(10, 7);
      assertThat(tokenizer.encode("a<|end|>b")).containsExactly(0, 11, 1);
      assertThat(tokenizer.decode(new int[] {3, 4, 10, 11})).isEqualTo("ab abé");
      assertThat(tokenizer.beginOfSequence()).isEmpty();
    }
    // Qwen's split takes digits one by one, so that 12 never meets its merge.
    try (Checkpoint checkpoint = Checkpoints.open(byteLevel("qwen2"));
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      assertThat(tokenizer.encode("ab12")).containsExactly(3, 5, 6);
    }
    try (Checkpoint checkpoint = Checkpoints.open(byteLevel("llama-bpe"));
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      assertThat(tokenizer.encode("ab12 ab")).containsExactly(3, 7, 4);
    }
  }

  @Test
  void aSplitThatIsNotKnownIsRefused() {
    try (Checkpoint checkpoint = Checkpoints.open(byteLevel("dragon"))) {
      assertThatThrownBy(() -> Tokenizers.load(checkpoint))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContainingAll("bytes.gguf", "\"dragon\"", "gpt-2", "llama-bpe", "qwen2");
    }
  }
}
