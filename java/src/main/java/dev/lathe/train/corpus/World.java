package dev.lathe.train.corpus;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * What the text tells of: invented places, things and people, whose attributes are drawn once and
 * told the same way ever after. Their many arbitrary facts are what a model has to remember.
 */
record World(List<Place> places, List<Thing> things, List<Person> people) {
  static final int PLACES = 800;
  static final int THINGS = 800;
  static final int PEOPLE = 540;

  record Place(
      String name,
      String kind,
      int year,
      String river,
      String product,
      String roofs,
      String month,
      int houses,
      String animal,
      int neighbour) {}

  record Thing(
      String name,
      String colour,
      String material,
      String size,
      String use,
      int coins,
      int madeIn,
      String keptIn) {}

  record Person(
      String name,
      String subject,
      String object,
      String job,
      int home,
      String pet,
      String food,
      String instrument,
      int age) {
    String capitalSubject() {
      return Character.toUpperCase(subject.charAt(0)) + subject.substring(1);
    }
  }

  private static final List<String> WOMEN =
      List.of(
          "Anna", "Clara", "Emma", "Greta", "Ida", "Jane", "Lena", "Mary", "Nora", "Olga", "Paula",
          "Rosa", "Sara", "Tina", "Vera", "Wilma", "Amy", "Betty", "Carol", "Dora", "Ella", "Fay",
          "Helen", "Iris", "Julia", "Kate", "Lily", "Mona", "Nina", "Ruth");
  private static final List<String> MEN =
      List.of(
          "Adam", "Ben", "Carl", "David", "Eric", "Frank", "George", "Henry", "Ian", "Jack", "Karl",
          "Leo", "Martin", "Nick", "Oscar", "Paul", "Peter", "Ralph", "Sam", "Tom", "Victor",
          "Walter", "Alex", "Bob", "Dan", "Fred", "Jim", "Luke", "Max", "Otto");
  static final List<String> COLOURS =
      List.of(
          "red", "blue", "green", "yellow", "white", "black", "brown", "grey", "purple", "orange",
          "pink", "golden");
  static final List<String> MATERIALS =
      List.of(
          "wood", "iron", "copper", "glass", "clay", "wool", "leather", "paper", "stone", "silver",
          "bone", "wax");
  static final List<String> ANIMALS =
      List.of(
          "cat", "dog", "goat", "horse", "duck", "hen", "rabbit", "crow", "fox", "sheep", "mouse",
          "frog", "bee", "owl", "pig", "donkey");
  static final List<String> FOODS =
      List.of(
          "bread",
          "soup",
          "cheese",
          "apples",
          "plums",
          "fish",
          "rice",
          "beans",
          "honey",
          "cake",
          "nuts",
          "eggs",
          "carrots",
          "pears",
          "onions",
          "porridge");
  private static final List<String> MONTHS =
      List.of(
          "January",
          "February",
          "March",
          "April",
          "May",
          "June",
          "July",
          "August",
          "September",
          "October",
          "November",
          "December");
  private static final List<String> JOBS =
      List.of(
          "baker",
          "smith",
          "weaver",
          "potter",
          "teacher",
          "farmer",
          "sailor",
          "tailor",
          "miller",
          "doctor",
          "painter",
          "mason",
          "gardener",
          "fisher",
          "carpenter",
          "shepherd");
  private static final List<String> USES =
      List.of(
          "cut rope",
          "carry water",
          "light a room",
          "mend shoes",
          "measure grain",
          "call the dogs",
          "open a door",
          "keep letters dry",
          "grind salt",
          "tell the hour",
          "catch rain",
          "weigh coins",
          "warm the hands",
          "draw a map",
          "tie a boat",
          "scare the crows");
  private static final List<String> KEPT_IN =
      List.of(
          "a box",
          "a cellar",
          "a chest",
          "a drawer",
          "a barn",
          "a tower",
          "a bag",
          "a well house",
          "a shed",
          "a cupboard",
          "a church",
          "a school");
  private static final List<String> INSTRUMENTS =
      List.of("flute", "drum", "fiddle", "harp", "horn", "bell", "whistle", "lute");
  private static final List<String> SIZES =
      List.of("tiny", "small", "long", "large", "heavy", "flat");
  private static final List<String> KINDS = List.of("village", "town", "harbour", "city", "farm");

  /** The world of a seed. */
  static World of(long seed) {
    Draw draw = new Draw(seed);
    Set<String> taken = new LinkedHashSet<>(WOMEN);
    taken.addAll(MEN);
    List<Place> places = new ArrayList<>();
    for (int i = 0; i < PLACES; i++) {
      String name = name(draw, taken, List.of("a", "en", "o", "ing", "ar", "um"));
      String river = name(draw, taken, List.of("e", "il", "us"));
      places.add(
          new Place(
              name,
              draw.of(KINDS),
              draw.between(1102, 1899),
              river,
              draw.of(FOODS),
              draw.of(COLOURS),
              draw.of(MONTHS),
              10 * draw.between(2, 99),
              draw.of(ANIMALS),
              (i + draw.between(1, PLACES - 1)) % PLACES));
    }
    List<Thing> things = new ArrayList<>();
    for (int i = 0; i < THINGS; i++) {
      things.add(
          new Thing(
              lower(name(draw, taken, List.of("ik", "et", "op", "elle", "ock", "ud"))),
              draw.of(COLOURS),
              draw.of(MATERIALS),
              draw.of(SIZES),
              draw.of(USES),
              draw.between(2, 60),
              draw.below(PLACES),
              draw.of(KEPT_IN)));
    }
    List<Person> people = new ArrayList<>();
    for (int i = 0; i < PEOPLE; i++) {
      boolean ordinary = i < WOMEN.size() + MEN.size();
      boolean woman = ordinary ? i < WOMEN.size() : draw.below(2) == 0;
      String name =
          !ordinary
              ? name(draw, taken, woman ? List.of("ia", "ela", "inne") : List.of("or", "ek", "im"))
              : woman ? WOMEN.get(i) : MEN.get(i - WOMEN.size());
      people.add(
          new Person(
              name,
              woman ? "she" : "he",
              woman ? "her" : "him",
              draw.of(JOBS),
              draw.below(PLACES),
              draw.of(ANIMALS),
              draw.of(FOODS),
              draw.of(INSTRUMENTS),
              draw.between(7, 80)));
    }
    return new World(List.copyOf(places), List.copyOf(things), List.copyOf(people));
  }

  /** An invented name that nothing else has. */
  private static String name(Draw draw, Set<String> taken, List<String> endings) {
    List<String> begin =
        List.of(
            "B", "D", "F", "G", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Br", "Dr", "Gl", "Kr",
            "Pl", "St", "Tr", "Sk", "Z");
    List<String> vowels = List.of("a", "e", "i", "o", "u", "au", "ei");
    List<String> middle =
        List.of("l", "m", "n", "r", "t", "v", "lm", "nd", "rk", "st", "bb", "sk", "rn", "d");
    while (true) {
      String name = draw.of(begin) + draw.of(vowels) + draw.of(middle) + draw.of(endings);
      if (taken.add(name)) {
        return name;
      }
    }
  }

  private static String lower(String name) {
    return Character.toLowerCase(name.charAt(0)) + name.substring(1);
  }

  /** "a" or "an" and the word. */
  static String article(String word) {
    return ("aeiou".indexOf(word.charAt(0)) >= 0 ? "an " : "a ") + word;
  }
}
