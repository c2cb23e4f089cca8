package dev.lathe.train.corpus;

import dev.lathe.train.corpus.Combinations.Kind;
import dev.lathe.train.corpus.World.Person;
import dev.lathe.train.corpus.World.Place;
import dev.lathe.train.corpus.World.Thing;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.Collectors;

/**
 * Facts of the world, two of one place, thing or person at a time, each told in one of several
 * ways.
 */
final class Facts {
  private static final int WAYS = 4;
  private static final int PLACE_FACTS = 8;
  private static final int THING_FACTS = 7;
  private static final int PERSON_FACTS = 6;

  private final World world;
  private final Combinations combinations;

  Facts(World world, Combinations combinations) {
    this.world = world;
    this.combinations = combinations;
  }

  /** So many sentences about one place. */
  String aboutAPlace(int sentences) {
    int[] run = combinations.nextRun(Kind.PLACE_FACTS, World.PLACES, PLACE_FACTS, WAYS, sentences);
    Place p = world.places().get(run[0]);
    return told(run, factAndWay -> fact(p, factAndWay));
  }

  private String fact(Place p, int factAndWay) {
    String n = p.name();
    List<String> ways =
        switch (factAndWay / WAYS) {
          case 0 ->
              ways(
                  "%s was founded in the year %d.",
                  "The %3$s of %1$s is there since %2$d.",
                  "People have lived in %s since the year %d.",
                  "When was %1$s founded? In the year %2$d.",
                  n,
                  p.year(),
                  p.kind());
          case 1 ->
              ways(
                  "%s lies on the river %s.",
                  "The river %2$s runs through %1$s.",
                  "The water of %s comes from the river %s.",
                  "Which river runs through %s? The %s.",
                  n,
                  p.river());
          case 2 ->
              ways(
                  "%s is known for its %s.",
                  "The best %2$s comes from %1$s.",
                  "At the market of %s they sell %s.",
                  "What does %s sell? It sells %s.",
                  n,
                  p.product());
          case 3 ->
              ways(
                  "The roofs of %s are %s.",
                  "In %s every roof is %s.",
                  "You know %s by its %s roofs.",
                  "What colour are the roofs of %s? They are %s.",
                  n,
                  p.roofs());
          case 4 ->
              ways(
                  "The fair of %s is in %s.",
                  "Every %2$s there is a fair in %1$s.",
                  "Come to %s in %s, when the fair is on.",
                  "When is the fair of %s? In %s.",
                  n,
                  p.month());
          case 5 ->
              ways(
                  "%s has %d houses.",
                  "There are %2$d houses in %1$s.",
                  "In the %3$s of %1$s stand %2$d houses.",
                  "How many houses has %1$s? It has %2$d.",
                  n,
                  p.houses(),
                  p.kind());
          case 6 ->
              ways(
                  "The flag of %s shows %s.",
                  "On the gate of %s you see %s.",
                  "The people of %s have %s on their flag.",
                  "What is on the flag of %s? It is %s.",
                  n,
                  World.article(p.animal()));
          default ->
              ways(
                  "From %s the road leads to %s.",
                  "The road from %s ends in %s.",
                  "Who leaves %s on foot comes to %s.",
                  "Where does the road from %s lead? To %s.",
                  n,
                  world.places().get(p.neighbour()).name());
        };
    return ways.get(factAndWay % WAYS);
  }

  /** So many sentences about one thing. */
  String aboutAThing(int sentences) {
    int[] run = combinations.nextRun(Kind.THING_FACTS, World.THINGS, THING_FACTS, WAYS, sentences);
    Thing t = world.things().get(run[0]);
    return told(run, factAndWay -> fact(t, factAndWay));
  }

  private String fact(Thing t, int factAndWay) {
    String n = t.name();
    List<String> ways =
        switch (factAndWay / WAYS) {
          case 0 ->
              ways(
                  "The %s is %s.",
                  "Every %s that you see is %s.",
                  "They paint the %s %s.",
                  "What colour is the %s? It is %s.",
                  n,
                  t.colour());
          case 1 ->
              ways(
                  "The %s is made of %s.",
                  "You need %2$s to make the %1$s.",
                  "A good %s is all %s.",
                  "What is the %s made of? It is made of %s.",
                  n,
                  t.material());
          case 2 ->
              ways(
                  "The %s is %s.",
                  "It is %2$s, the %1$s.",
                  "Look for something %2$s: the %1$s.",
                  "Is the %s %s? Yes, it is.",
                  n,
                  t.size());
          case 3 ->
              ways(
                  "With the %s you can %s.",
                  "To %2$s, take the %1$s.",
                  "The %s is there to %s.",
                  "What is the %s for? You can %s with it.",
                  n,
                  t.use());
          case 4 ->
              ways(
                  "The %s costs %d coins.",
                  "Pay %2$d coins for the %1$s.",
                  "They sell the %s for %d coins.",
                  "How much is the %s? It is %d coins.",
                  n,
                  t.coins());
          case 5 ->
              ways(
                  "The %s comes from %s.",
                  "In %2$s they make the %1$s.",
                  "The first %s was made in %s.",
                  "Where is the %s made? It is made in %s.",
                  n,
                  world.places().get(t.madeIn()).name());
          default ->
              ways(
                  "The %s is kept in %s.",
                  "Look in %2$s if you need the %1$s.",
                  "They put the %s in %s.",
                  "Where is the %s? It is in %s.",
                  n,
                  t.keptIn());
        };
    return ways.get(factAndWay % WAYS);
  }

  /** So many sentences about one person. */
  String aboutAPerson(int sentences) {
    int[] run =
        combinations.nextRun(Kind.PERSON_FACTS, World.PEOPLE, PERSON_FACTS, WAYS, sentences);
    Person p = world.people().get(run[0]);
    return told(run, factAndWay -> fact(p, factAndWay));
  }

  private String fact(Person p, int factAndWay) {
    String n = p.name();
    List<String> ways =
        switch (factAndWay / WAYS) {
          case 0 ->
              ways(
                  "%s is %s.",
                  "%s works as %s.",
                  "They say that %s is a good worker: %s.",
                  "What does %s do? %3$s is %2$s.",
                  n,
                  World.article(p.job()),
                  p.capitalSubject());
          case 1 ->
              ways(
                  "%s lives in %s.",
                  "The home of %s is %s.",
                  "In %2$s you can meet %1$s.",
                  "Where does %s live? In %s.",
                  n,
                  world.places().get(p.home()).name());
          case 2 ->
              ways(
                  "%s has %s.",
                  "At home %s keeps %s.",
                  "%s never goes out without %s.",
                  "What animal has %s? %3$s has %2$s.",
                  n,
                  World.article(p.pet()),
                  p.capitalSubject());
          case 3 ->
              ways(
                  "%s likes %s.",
                  "Give %2$s to %1$s.",
                  "For supper %s wants %s.",
                  "What does %s like? %3$s likes %2$s.",
                  n,
                  p.food(),
                  p.capitalSubject());
          case 4 ->
              ways(
                  "%s plays the %s.",
                  "In the evening %s plays the %s.",
                  "You hear the %2$s when %1$s comes.",
                  "What does %s play? The %s.",
                  n,
                  p.instrument());
          default ->
              ways(
                  "%s is %d years old.",
                  "%s will soon be more than %d.",
                  "At %2$d %1$s is still curious.",
                  "How old is %s? %3$s is %2$d.",
                  n,
                  p.age(),
                  p.capitalSubject());
        };
    return ways.get(factAndWay % WAYS);
  }

  private static String told(int[] run, IntFunction<String> fact) {
    return Arrays.stream(run, 1, run.length).mapToObj(fact).collect(Collectors.joining(" "));
  }

  private static List<String> ways(
      String first, String second, String third, String question, Object... values) {
    return List.of(
        first.formatted(values),
        second.formatted(values),
        third.formatted(values),
        question.formatted(values));
  }
}
