package dev.lathe.train.corpus;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.train.corpus.Combinations.Combination;
import dev.lathe.train.corpus.Combinations.Kind;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class CorpusTest {
  private static final Path COMMITTED =
      Path.of(System.getProperty("lathe.root"), "calibration-data", "corpus");

  private static final Pattern FACT =
      Pattern.compile(
          "^(?!He |She )(The )?\\w+ (lies on|was founded in|lives in|is known for|costs|plays the|comes from|likes"
              + "|works as|has \\d+ houses) ");

  @Test
  void theTrainingTextIsTheOneWhoseHashIsCommitted() throws Exception {
    String text = Corpus.embedded(Split.TRAINING).text();
    assertThat(text.length()).isBetween(3_000_000, 6_500_000);
    assertThat(sha256(text) + "  training.txt")
        .isEqualTo(Files.readString(COMMITTED.resolve("training.txt.sha256")).strip());
  }

  @Test
  void theHeldOutTextIsTheCommittedOne() throws Exception {
    String text = Corpus.embedded(Split.HELD_OUT).text();
    assertThat(text.length()).isBetween(100_000, 200_000);
    assertThat(Files.readString(COMMITTED.resolve("held-out.txt"))).isEqualTo(text);
  }

  @Test
  void anotherSeedTellsOfAnotherWorld() {
    String one = Corpus.write(1, Split.TRAINING, 20_000).text();
    assertThat(Corpus.write(1, Split.TRAINING, 20_000).text()).isEqualTo(one);
    assertThat(Corpus.write(2, Split.TRAINING, 20_000).text()).isNotEqualTo(one);
  }

  @Test
  void noCombinationIsInBothTexts() {
    Set<Combination> training = Corpus.embedded(Split.TRAINING).combinations();
    Set<Combination> heldOut = Corpus.embedded(Split.HELD_OUT).combinations();
    Set<Combination> both = new HashSet<>(training);
    both.retainAll(heldOut);
    assertThat(both).isEmpty();
    for (Kind kind : Kind.values()) {
      assertThat(heldOut).as(kind + " is measured").anyMatch(c -> c.kind() == kind);
      assertThat(training).as(kind + " is learnt").anyMatch(c -> c.kind() == kind);
    }
  }

  @Test
  void noSentenceAboutAFactIsInBothTexts() {
    // The texts themselves, whatever the bookkeeping says: facts are told in whole sentences.
    Set<String> training = factSentences(Split.TRAINING);
    Set<String> heldOut = factSentences(Split.HELD_OUT);
    assertThat(heldOut.size()).isGreaterThan(50);
    heldOut.retainAll(training);
    assertThat(heldOut).isEmpty();
  }

  @Test
  void everyWordOfTheHeldOutTextCanBeLearnt() {
    Set<String> training = words(Split.TRAINING);
    assertThat(training).containsAll(words(Split.HELD_OUT));
  }

  private static Set<String> factSentences(Split split) {
    return Corpus.embedded(split).documents().stream()
        .flatMap(document -> Arrays.stream(document.split("(?<=[.?]) |\n")))
        .filter(s -> FACT.matcher(s).find())
        .collect(Collectors.toSet());
  }

  /** Words of letters; sums may have a number that no other line has. */
  private static Set<String> words(Split split) {
    return Arrays.stream(Corpus.embedded(split).text().split("[^A-Za-z]+"))
        .collect(Collectors.toSet());
  }

  private static String sha256(String text) throws Exception {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(utf8));
  }
}
