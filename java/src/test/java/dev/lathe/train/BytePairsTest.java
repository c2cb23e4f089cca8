package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.StrictJson;
import dev.lathe.tokenize.HuggingFaceTokenizer;
import dev.lathe.train.corpus.Corpus;
import dev.lathe.train.corpus.Split;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BytePairsTest {
  @TempDir Path folder;

  @Test
  void theMostFrequentPairIsMergedFirst() {
    // "ab" 4 times, "bc" 3 times; then "abc" as (ab, c).
    BytePairs pairs = BytePairs.learn(List.of("abc abc abc ab"), 260);
    assertThat(pairs.merges())
        .containsExactly(new BytePairs.Merge('a', 'b'), new BytePairs.Merge(' ', 256));
    assertThatThrownBy(() -> BytePairs.learn(List.of("ab"), 512))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void huggingFacesLibraryOpensItAndEveryTextComesBack() throws Exception {
    Corpus corpus = Corpus.write(5, Split.TRAINING, 200_000);
    BytePairs pairs = BytePairs.learn(corpus.documents(), 512);
    assertThat(BytePairs.learn(corpus.documents(), 512)).isEqualTo(pairs);
    try (HuggingFaceTokenizer tokenizer = open(pairs)) {
      assertThat(tokenizer.vocabularySize()).isEqualTo(512);
      assertThat(tokenizer.beginOfSequence()).hasValue(pairs.begin());
      assertThat(tokenizer.encode("<|end|>")).containsExactly(pairs.end());
      String heldOut = Corpus.write(5, Split.HELD_OUT, 20_000).documents().getFirst();
      for (String text : List.of(heldOut, "Grüße, 你好 \uD83D\uDE80\n\n  \tx'll ", "")) {
        assertThat(tokenizer.decode(tokenizer.encode(text))).isEqualTo(text);
      }
      String all = String.join("\n", corpus.documents());
      assertThat(tokenizer.encode(all).length).isLessThan(all.length() / 2);
    }
  }

  private HuggingFaceTokenizer open(BytePairs pairs) throws Exception {
    Path tokenizer = folder.resolve("tokenizer.json");
    Path companion = folder.resolve("tokenizer_config.json");
    Files.write(tokenizer, StrictJson.mapper().writeValueAsBytes(pairs.tokenizerJson()));
    Files.write(companion, StrictJson.mapper().writeValueAsBytes(pairs.tokenizerConfigJson()));
    return HuggingFaceTokenizer.load(
        tokenizer, Optional.of(companion), StrictJson.mapper().createObjectNode());
  }
}
