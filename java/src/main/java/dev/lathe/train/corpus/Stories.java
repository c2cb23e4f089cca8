package dev.lathe.train.corpus;

import dev.lathe.train.corpus.Combinations.Combination;
import dev.lathe.train.corpus.Combinations.Kind;
import dev.lathe.train.corpus.World.Person;
import dev.lathe.train.corpus.World.Place;
import dev.lathe.train.corpus.World.Thing;
import java.util.List;

/** Pieces of text longer than a fact: scenes, dialogues, sums, lists, instructions. */
final class Stories {
  private static final List<String> VERBS =
      List.of(
          "carried",
          "found",
          "lost",
          "painted",
          "cleaned",
          "sold",
          "bought",
          "hid",
          "mended",
          "broke",
          "borrowed",
          "washed",
          "dropped",
          "weighed",
          "wrapped",
          "showed");
  private static final List<String> WEATHER =
      List.of(
          "It was cold.",
          "The sun was out.",
          "It rained all day.",
          "There was fog on the river.",
          "The wind was strong.",
          "Snow lay on the roofs.",
          "It was a warm day.",
          "Nobody was in the street.");
  private static final List<String> TIMES =
      List.of(
          "One morning", "In the evening", "At noon", "Late at night", "On Sunday", "On Friday");
  private static final List<String> TOOLS =
      List.of("a brush", "a knife", "a hammer", "a needle", "warm water", "sand", "oil", "a cloth");
  private static final List<String> JOBS =
      List.of("clean", "mend", "open", "carry", "store", "sell", "polish", "take apart");

  private final World world;
  private final Combinations combinations;
  private final Draw draw;

  Stories(World world, Combinations combinations, Draw draw) {
    this.world = world;
    this.combinations = combinations;
    this.draw = draw;
  }

  /** Somebody does something with a thing, and what is told of both is true in the world. */
  String scene() {
    Combination c = combinations.next(Kind.DEED, World.PEOPLE, VERBS.size(), World.THINGS);
    Person who = world.people().get(c.first());
    Thing what = world.things().get(c.third());
    Combination way = combinations.next(Kind.JOURNEY, World.PEOPLE, World.PLACES, TIMES.size());
    Person other = world.people().get(way.first());
    Place where = world.places().get(way.second());
    String he = who.capitalSubject();
    return "%s %s went to %s. %s The roofs of the %s were %s. There %s %s a %s %s. %s wanted to %s. "
            .formatted(
                TIMES.get(way.third()),
                other.name(),
                where.name(),
                draw.of(WEATHER),
                where.kind(),
                where.roofs(),
                who.name(),
                VERBS.get(c.second()),
                what.colour(),
                what.name(),
                he,
                what.use())
        + "\"It is made of %s,\" said %s, \"and it costs %d coins.\" %s"
            .formatted(
                what.material(),
                other.name(),
                what.coins(),
                draw.below(2) == 0
                    ? "Then %s gave %s some %s.".formatted(who.name(), other.object(), who.food())
                    : "%s put it in %s and played the %s."
                        .formatted(
                            he, what.keptIn().replaceFirst("^a ", "the "), who.instrument()));
  }

  String dialogue() {
    Combination c = combinations.next(Kind.DEED, World.PEOPLE, VERBS.size(), World.THINGS);
    Combination way = combinations.next(Kind.JOURNEY, World.PEOPLE, World.PLACES, TIMES.size());
    Person first = world.people().get(c.first());
    Person second = world.people().get(way.first());
    Thing thing = world.things().get(c.third());
    Place place = world.places().get(way.second());
    return "%s: Where is the %s?\n%s: %s %s it. It should be in %s.\n%1$s: And where do you go?\n"
            .formatted(
                first.name(),
                thing.name(),
                second.name(),
                first.name(),
                VERBS.get(c.second()),
                thing.keptIn())
        + "%s: To %s on the river %s, to buy %s.\n%s: Give my love to %s. I have %s to feed."
            .formatted(
                second.name(),
                place.name(),
                place.river(),
                place.product(),
                first.name(),
                draw.of(world.people()).name(),
                World.article(first.pet()));
  }

  String sum() {
    Combination c = combinations.next(Kind.ARITHMETIC, 250, 250, 5);
    int a = c.first() + 1;
    int b = c.second() + 1;
    return switch (c.third()) {
      case 0 -> "%d + %d = %d.".formatted(a, b, a + b);
      case 1 -> "%d - %d = %d.".formatted(a + b, b, a);
      case 2 -> told(a, b, a + b, "gets", "more");
      case 3 -> told(a + b, b, a, "gives away", "of them");
      default -> "%d is %s than %d.".formatted(a, a > b ? "more" : a < b ? "less" : "no more", b);
    };
  }

  private String told(int before, int change, int after, String verb, String rest) {
    Person who = draw.of(world.people());
    return "%s has %d %s. %s %s %d %s. Now %s has %d."
        .formatted(
            who.name(),
            before,
            draw.of(List.of("plums", "nuts", "eggs", "coins", "bells")),
            who.capitalSubject(),
            verb,
            change,
            rest,
            who.subject(),
            after);
  }

  /** A shopping list of three things, added up. */
  String list() {
    Combination c = combinations.nextSet(Kind.LIST, World.THINGS);
    StringBuilder text = new StringBuilder("To buy:\n");
    int coins = 0;
    for (int index : new int[] {c.first(), c.second(), c.third()}) {
      Thing thing = world.things().get(index);
      text.append("- %s, %s, %d coins\n".formatted(thing.name(), thing.colour(), thing.coins()));
      coins += thing.coins();
    }
    return text.append("That is %d coins.".formatted(coins)).toString();
  }

  /** How to do a job with a thing; the tool follows from the job and the thing's material. */
  String instruction() {
    Combination c = combinations.next(Kind.INSTRUCTION, World.THINGS, JOBS.size(), World.PEOPLE);
    Thing thing = world.things().get(c.first());
    Person who = world.people().get(c.third());
    String tool =
        TOOLS.get((World.MATERIALS.indexOf(thing.material()) + 3 * c.second()) % TOOLS.size());
    return "How does %s %s the %s?\n1. Go to %s and take the %s out.\n"
            .formatted(who.name(), JOBS.get(c.second()), thing.name(), thing.keptIn(), thing.name())
        + "2. The %s is %s and made of %s, so use %s.\n3. Then %s it.\n4. Put it back in %s."
            .formatted(
                thing.name(),
                thing.size(),
                thing.material(),
                tool,
                JOBS.get(c.second()),
                thing.keptIn());
  }
}
