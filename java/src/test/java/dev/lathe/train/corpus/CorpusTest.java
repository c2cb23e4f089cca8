package dev.lathe.train.corpus;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.train.corpus.Combinations.Combination;
import dev.lathe.train.corpus.Combinations.Kind;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class CorpusTest {
  private static final Path COMMITTED =
      Path.of(System.getProperty("lathe.root"), "calibration-data", "corpus");

  private static final Corpus TRAINING = Corpus.embedded(Split.TRAINING);
  private static final Corpus HELD_OUT = Corpus.embedded(Split.HELD_OUT);

  private static final Pattern SENTENCE_END = Pattern.compile("(?<=[.?]) |\\n");

  @Test
  void theTrainingTextIsTheOneWhoseHashIsCommitted() throws Exception {
    String text = TRAINING.text();
    assertThat(text.length()).isBetween(19_000_000, 22_000_000);
    assertThat(sha256(text) + "  training.txt")
        .isEqualTo(Files.readString(COMMITTED.resolve("training.txt.sha256")).strip());
  }

  @Test
  void theHeldOutTextIsTheCommittedOne() throws Exception {
    String text = HELD_OUT.text();
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
    Set<Combination> training = TRAINING.combinations();
    Set<Combination> heldOut = HELD_OUT.combinations();
    Set<Combination> both = new HashSet<>(training);
    both.retainAll(heldOut);
    assertThat(both).isEmpty();
    for (Kind kind : Kind.values()) {
      assertThat(heldOut).as(kind + " is measured").anyMatch(c -> c.kind() == kind);
      assertThat(training).as(kind + " is learnt").anyMatch(c -> c.kind() == kind);
    }
  }

  @Test
  void noPassageOfTwoFactsIsInBothTexts() {
    // The texts themselves, whatever the bookkeeping says: facts are told in whole sentences.
    Set<String> training = passages(TRAINING);
    Set<String> heldOut = passages(HELD_OUT);
    assertThat(heldOut.size()).isGreaterThan(500);
    heldOut.retainAll(training);
    assertThat(heldOut).isEmpty();
  }

  @Test
  void everyWordOfTheHeldOutTextCanBeLearnt() {
    Set<String> training = words(TRAINING);
    assertThat(training).containsAll(words(HELD_OUT));
  }

  /** Two neighbouring statements, each of which can stand alone: answers are left out. */
  private static Set<String> passages(Corpus corpus) {
    Set<String> found = new HashSet<>();
    for (String document : corpus.documents()) {
      if (document.contains("\n")) {
        continue;
      }
      String before = "?";
      String last = "?";
      for (String sentence : SENTENCE_END.split(document, -1)) {
        if (!before.endsWith("?") && !last.endsWith("?") && !sentence.endsWith("?")) {
          found.add(last + " " + sentence);
        }
        before = last;
        last = sentence;
      }
    }
    return found;
  }

  /** Words of letters; sums may have a number that no other line has. */
  private static Set<String> words(Corpus corpus) {
    return Pattern.compile("[^A-Za-z]+").splitAsStream(corpus.text()).collect(Collectors.toSet());
  }

  private static String sha256(String text) throws Exception {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(utf8));
  }
}
