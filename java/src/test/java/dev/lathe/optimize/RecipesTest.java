package dev.lathe.optimize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class RecipesTest {
  private static final String GOOD =
      """
      name: mine
      max_loss: 2%
      steps:
        - {technique: quantize, scheme: w8a16, symmetric: true}
        - technique: prune
          sparsity: 0.5
          pattern: unstructured
      generation:
        kv_cache: true
        batch: 4
        tokens: 64
        repetitions: 5
        prompt: "Once upon a time"
      evaluation:
        text: data/stories.txt
        separator: <|endoftext|>
        max_documents: 40
      cost: {price_per_hour: 2.5, currency: EUR, queries_per_day: 1000}
      targets: {min_compression: 3.5, max_tpot_ms: 50}
      """;

  @TempDir Path folder;

  @Test
  void readsEveryKey() throws IOException {
    Recipe recipe = load(GOOD);

    assertThat(recipe.name()).isEqualTo("mine");
    assertThat(recipe.maxLossPercent()).isEqualTo(2.0);
    assertThat(recipe.steps()).hasSize(2);
    assertThat(recipe.steps().getFirst().technique().get("symmetric").booleanValue()).isTrue();
    assertThat(recipe.steps().getLast().technique().get("sparsity").doubleValue()).isEqualTo(0.5);
    assertThat(recipe.steps().getLast().technique().propertyNames())
        .containsExactly("technique", "sparsity", "pattern");
    assertThat(recipe.steps().getLast().where()).endsWith("recipe.yaml:5:5");
    assertThat(recipe.generation().batch()).isEqualTo(4);
    assertThat(recipe.generation().tokens()).isEqualTo(64);
    assertThat(recipe.generation().repetitions()).isEqualTo(5);
    assertThat(recipe.generation().prompt()).contains("Once upon a time");
    assertThat(recipe.evaluation().text()).contains(folder.resolve("data/stories.txt"));
    assertThat(recipe.evaluation().separator()).contains("<|endoftext|>");
    assertThat(recipe.evaluation().maxDocuments()).hasValue(40);
    assertThat(recipe.cost().pricePerHour()).hasValue(2.5);
    assertThat(recipe.cost().currency()).isEqualTo("EUR");
    assertThat(recipe.cost().queriesPerDay()).hasValue(1000);
    assertThat(recipe.targets())
        .isEqualTo(Map.of(Target.MIN_COMPRESSION, 3.5, Target.MAX_TPOT_MS, 50.0));
  }

  @Test
  void whatIsLeftOutHasDefaults() throws IOException {
    Recipe recipe = load("{name: short, max_loss: 1%, steps: [{technique: quantize}]}");

    assertThat(recipe.generation().kvCache()).isTrue();
    assertThat(recipe.generation().batch()).isEqualTo(8);
    assertThat(recipe.generation().tokens()).isEqualTo(256);
    assertThat(recipe.evaluation().text()).isEmpty();
    assertThat(recipe.cost().pricePerHour()).isEmpty();
    assertThat(recipe.targets()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"conservative", "balanced", "aggressive"})
  void builtInRecipesAreValid(String name) {
    Recipe recipe = Recipes.load(name);

    assertThat(recipe.name()).isEqualTo(name);
    assertThat(recipe.source()).isEqualTo("built in");
    assertThat(recipe.steps().getFirst().technique().get("technique").asString())
        .isEqualTo("quantize");
    assertThat(recipe.steps().getLast().technique().get("scheme").asString()).isEqualTo("kv8");
    assertThat(recipe.hash()).hasSize(64);
  }

  @Test
  void aggressiveAllowsMoreThanBalancedThanConservative() {
    assertThat(Recipes.load("conservative").maxLossPercent())
        .isLessThan(Recipes.load("balanced").maxLossPercent());
    assertThat(Recipes.load("balanced").maxLossPercent())
        .isLessThan(Recipes.load("aggressive").maxLossPercent());
  }

  /** Each mistake is put into the recipe above by replacing one text with another. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "name: mine | nmae: mine | 1:1 | unknown key 'nmae' in the recipe (did you mean 'name'?)",
        "kv_cache: true | cache: true | 9:3 | allowed: kv_cache, batch, tokens, repetitions",
        "name: mine | 'max_loss: 1%' | 2:1 | the key 'max_loss' stands twice: first in line 1",
        "batch: 4 | kv_cache: false | 10:3 | the key 'kv_cache' stands twice: first in line 9",
        "sparsity: 0.5 | technique: prune | 6:5 | the key 'technique' stands twice",
        "scheme: w8a16 | technique: prune | 4:27 | the key 'technique' stands twice",
        "max_loss: 2% | max_loss: 2 | 2:11 | 'max_loss' is 2: it must be a percentage with its sign",
        "max_loss: 2% | max_loss: -2% | 2:11 | it must be a percentage",
        "max_loss: 2% | '' | 1:1 | the recipe lacks 'max_loss'",
        "batch: 4 | batch: four | 10:10 | 'batch' is the text 'four': it must be a whole number",
        "batch: 4 | batch: 0 | 10:10 | whole number from 1 to 4096",
        "batch: 4 | batch: 4.5 | 10:10 | 'batch' is 4.5: it must be a whole number",
        "batch: 4 | batch: 99999999999999999999 | 10:10 | too large",
        "batch: 4 | batch: [4] | 10:10 | 'batch' is a list: it must be a whole number",
        "kv_cache: true | kv_cache: maybe | 9:13 | it must be true or false",
        "kv_cache: true | kv_cache: false | 10:10 | 'batch' above 1 needs 'kv_cache: true'",
        "price_per_hour: 2.5 | price_per_hour: -1 | 18:24 | a number that is 0 or more",
        "price_per_hour: 2.5 | price_per_hour: .nan | 18:24 | a number that is 0 or more",
        "min_compression | min_size | 19:11 | unknown key 'min_size' in 'targets'",
        "technique: quantize, | '' | 4:5 | a step is keys with values",
        "name: mine | 'name: [mine' | 2:9 | not valid YAML",
        "name: mine | name: *a | 1:7 | aliases and tags",
        "name: mine | name: !!binary aGk= | 1: | aliases and tags",
      })
  void oneMessageNamesThePlaceAndWhatIsAllowed(
      String right, String wrong, String place, String message) {
    String text = GOOD.replace(right, wrong == null ? "" : wrong);
    assertThat(text).isNotEqualTo(GOOD);

    assertThatThrownBy(() -> load(text))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("recipe.yaml:" + place)
        .hasMessageContaining(message)
        .message()
        .doesNotContain("\n");
  }

  @Test
  void aSecondDocumentIsRefused() {
    assertThatThrownBy(() -> load(GOOD + "---\nname: other\n"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("second YAML document");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "\n", "# only a comment\n"})
  void anEmptyFileIsRefused(String text) {
    assertThatThrownBy(() -> load(text))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("empty");
  }

  @ParameterizedTest
  @ValueSource(strings = {"just a text", "[1, 2]", "42"})
  void aFileThatIsNoMappingIsRefused(String text) {
    assertThatThrownBy(() -> load(text))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("recipe.yaml:1:1: the recipe is ");
  }

  @Test
  void aDeeplyNestedFileIsRefusedWithoutOverflow() {
    String text = "name: " + "[".repeat(100_000) + "]".repeat(100_000);
    assertThatThrownBy(() -> load(text)).isInstanceOf(InvalidInputException.class);
  }

  @Test
  void bytesThatAreNoTextAreRefused() throws IOException {
    Path file = folder.resolve("binary.yaml");
    Files.write(file, new byte[] {(byte) 0xff, (byte) 0xfe, 0, 1, 2});
    assertThatThrownBy(() -> Recipes.load(file.toString()))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("not UTF-8");
  }

  @Test
  void anUnknownNameListsTheBuiltInOnes() {
    assertThatThrownBy(() -> Recipes.load("balancd"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("conservative, balanced, aggressive");
  }

  private Recipe load(String text) throws IOException {
    Path file = folder.resolve("recipe.yaml");
    Files.write(file, text.getBytes(StandardCharsets.UTF_8));
    return Recipes.load(file.toString());
  }
}
