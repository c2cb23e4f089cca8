package dev.lathe.tokenize;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class SyntheticTokenizerTest {
  @Test
  void aByteIsATokenAndTheVocabularyIsTheModels() {
    try (Checkpoint checkpoint = Checkpoints.open(Path.of("synthetic:tinyllama-1.1b"));
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      String text = "Zoë paid 3€!\n\0\u00a0";
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      int[] ids = tokenizer.encode(text);
      assertThat(ids).hasSize(bytes.length);
      for (int i = 0; i < ids.length; i++) {
        assertThat(ids[i]).isEqualTo(bytes[i] & 0xff);
      }
      assertThat(tokenizer.decode(ids)).isEqualTo(text);
      assertThat(tokenizer.vocabularySize()).isEqualTo(32_000);
      assertThat(tokenizer.beginOfSequence()).hasValue(31_998);
    }
  }
}
