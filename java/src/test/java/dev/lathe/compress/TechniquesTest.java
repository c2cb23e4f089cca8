package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

final class TechniquesTest {

  @Test
  void readsEachTechnique() {
    assertThat(parse("{'technique':'quantize','scheme':'w8a16'}"))
        .isEqualTo(new QuantizeInt8(true));
    assertThat(parse("{'technique':'quantize','scheme':'w8a16','method':'rtn','symmetric':false}"))
        .isEqualTo(new QuantizeInt8(false));
    assertThat(parse("{'technique':'quantize','scheme':'w8a8','symmetric':true}"))
        .isEqualTo(QuantizeInt8.withActivations());
    assertThat(parse("{'technique':'quantize','scheme':'kv8'}"))
        .isEqualTo(new QuantizeKeysAndValues());
    assertThat(parse("{'technique':'quantize','scheme':'kv8','method':'rtn','symmetric':true}"))
        .isEqualTo(new QuantizeKeysAndValues());
    assertThat(parse("{'technique':'prune','sparsity':0.5}"))
        .isEqualTo(new MagnitudePrune(0.5, Scope.LAYER, false));
    assertThat(
            parse(
                "{'technique':'prune','pattern':'unstructured','method':'magnitude',"
                    + "'sparsity':0.25,'scope':'global','embedding':true}"))
        .isEqualTo(new MagnitudePrune(0.25, Scope.GLOBAL, true));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{} | a step lacks 'technique'; allowed: quantize, prune",
        "{'technique':'distil'} | 'technique' is \"distil\"; allowed: quantize, prune",
        "{'technique':7} | 'technique' is 7; allowed: quantize, prune",
        "{'technique':'quantize'} | 'quantize' lacks 'scheme'; allowed: w8a16, w8a8, kv8",
        "{'technique':'quantize','scheme':'kv8','symmetric':false} | 'symmetric' is false; it must"
            + " be true: kv8 has no zero points",
        "{'technique':'quantize','scheme':'kv8','method':'gptq'} | 'method' is \"gptq\"; allowed: rtn",
        "{'technique':'quantize','scheme':'kv8','sparsity':0.5} | unknown key 'sparsity'",
        "{'technique':'quantize','scheme':'w8a8','symmetric':false} | 'symmetric' is false; it must"
            + " be true: w8a8 has no zero points",
        "{'technique':'quantize','scheme':'w4a16'} | 'scheme' is \"w4a16\"; allowed: w8a16, w8a8, kv8",
        "{'technique':'quantize','scheme':'w8a16','symetric':true} | unknown key 'symetric' in"
            + " 'quantize'; allowed: technique, scheme, method, symmetric",
        "{'technique':'quantize','scheme':'w8a16','symmetric':'yes'} | 'symmetric' is \"yes\"; it"
            + " must be true or false",
        "{'technique':'quantize','scheme':'w8a16','method':'gptq'} | 'method' is \"gptq\"; allowed:"
            + " rtn",
        "{'technique':'prune'} | 'prune' lacks 'sparsity'; it must be a number above 0 and below 1",
        "{'technique':'prune','sparsity':50} | 'sparsity' is 50; it must be a number above 0",
        "{'technique':'prune','sparsity':1} | 'sparsity' is 1; it must be a number above 0",
        "{'technique':'prune','sparsity':'50%'} | 'sparsity' is \"50%\"; it must be a number",
        "{'technique':'prune','sparsity':0.5,'scope':'row'} | 'scope' is \"row\"; allowed: layer,"
            + " global",
        "{'technique':'prune','sparsity':0.5,'pattern':'2:4'} | 'pattern' is \"2:4\"; allowed:"
            + " unstructured",
        "{'technique':'prune','sparsity':0.5,'scheme':'w8a16'} | unknown key 'scheme' in 'prune'",
      })
  void refusesTheRest(String step, String message) {
    assertThatThrownBy(() -> parse(step))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageStartingWith("recipe.yaml:3: " + message.replace("\\\"", "\""));
  }

  private static Technique parse(String step) {
    ObjectNode node = (ObjectNode) JsonMapper.builder().build().readTree(step.replace('\'', '"'));
    return Techniques.parse("recipe.yaml:3", node);
  }
}
