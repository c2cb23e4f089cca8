package dev.lathe.train.corpus;

import dev.lathe.train.corpus.Combinations.Combination;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.StringJoiner;

/**
 * English-like text about a small invented world: facts, scenes, dialogues, sums, lists and
 * instructions. The same seed gives the same bytes on every machine.
 *
 * <p>Training and held-out text tell of one world, in the same words. No combination of what a
 * passage is about is in both; see {@link Combinations}.
 *
 * @param documents each without a blank line and without {@link #SEPARATOR}
 */
public record Corpus(List<String> documents, Set<Combination> combinations) {
  /** Stands on a line of its own between two documents of a file. */
  public static final String SEPARATOR = "<|end|>";

  /** The seed of the text in calibration-data. */
  public static final long SEED = 20_261_120;

  /** What the training text of the embedded default is long. */
  public static final int TRAINING_CHARACTERS = 20_000_000;

  /** What the held-out text of the embedded default is long. */
  public static final int HELD_OUT_CHARACTERS = 150_000;

  public Corpus {
    documents = List.copyOf(documents);
    combinations = Set.copyOf(combinations);
  }

  /** The texts that the embedded default is trained on, or measured on. */
  public static Corpus embedded(Split split) {
    return write(SEED, split, split == Split.TRAINING ? TRAINING_CHARACTERS : HELD_OUT_CHARACTERS);
  }

  /**
   * @param seed decides the world and what is told of it
   * @param characters documents are added until there are so many
   */
  public static Corpus write(long seed, Split split, int characters) {
    World world = World.of(seed);
    Draw draw = new Draw(Draw.mix(seed) + split.name().hashCode());
    Combinations combinations = new Combinations(split, draw);
    Facts facts = new Facts(world, combinations);
    Stories stories = new Stories(world, combinations, draw);
    List<String> documents = new ArrayList<>();
    for (long written = 0; written < characters; written += documents.getLast().length() + 1) {
      documents.add(document(draw, facts, stories));
    }
    return new Corpus(documents, combinations.used());
  }

  private static String document(Draw draw, Facts facts, Stories stories) {
    int kind = draw.below(20);
    StringJoiner text = new StringJoiner(kind < 15 ? " " : "\n");
    int pieces = kind < 15 ? draw.between(1, 3) : draw.between(2, 5);
    for (int i = 0; i < pieces; i++) {
      switch (kind) {
        case 0, 1, 2, 3, 4 -> text.add(facts.aboutAPlace(draw.between(3, 6)));
        case 5, 6, 7, 8, 9 -> text.add(facts.aboutAThing(draw.between(3, 6)));
        case 10, 11, 12, 13 -> text.add(facts.aboutAPerson(draw.between(3, 5)));
        case 14 -> text.add(stories.sum());
        case 15, 16 ->
            text.add(i == 0 || draw.below(2) == 0 ? stories.scene() : facts.aboutAThing(3));
        case 17, 18 -> text.add(i % 2 == 0 ? stories.dialogue() : facts.aboutAPerson(3));
        default -> text.add(draw.below(2) == 0 ? stories.list() : stories.instruction());
      }
    }
    return text.toString();
  }

  /** The documents as one file: after each a line with {@link #SEPARATOR}. */
  public String text() {
    StringBuilder text = new StringBuilder();
    for (String document : documents) {
      text.append(document).append('\n').append(SEPARATOR).append('\n');
    }
    return text.toString();
  }
}
