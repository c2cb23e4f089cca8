package dev.lathe.fuzz;

import com.code_intelligence.jazzer.junit.FuzzTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every reader of files that come from elsewhere. As a test, each reads its seeds and what fuzzing
 * once found ({@code ReadersFuzzTestInputs}); {@code scripts/fuzz TARGET} searches for more.
 */
class ReadersFuzzTest {
  static final Harness SAFETENSORS = new Harness("model.safetensors", Readers::safetensors);
  static final Harness INDEX = new Harness("model.safetensors.index.json", Readers::index);
  static final Harness LINEAGE = new Harness("lineage.json", Readers::lineage);
  static final Harness GGUF = new Harness("model.gguf", Readers::gguf);
  static final Harness TOKENIZER = new Harness("tokenizer.json", Readers::tokenizer);
  static final Harness CONFIG = new Harness("config.json", Readers::config);
  static final Harness RECIPE = new Harness("recipe.yaml", Readers::recipe);
  static final Harness TEMPLATE = new Harness("chat_template.jinja", Readers::template);

  @MethodSource("dev.lathe.checkpoint.FuzzSeeds#safetensors")
  @FuzzTest
  void safetensors(byte[] input) {
    SAFETENSORS.check(input);
  }

  @MethodSource("dev.lathe.checkpoint.FuzzSeeds#indexes")
  @FuzzTest
  void index(byte[] input) {
    INDEX.check(input);
  }

  @MethodSource("dev.lathe.checkpoint.FuzzSeeds#lineages")
  @FuzzTest
  void lineage(byte[] input) {
    LINEAGE.check(input);
  }

  @MethodSource("dev.lathe.checkpoint.FuzzSeeds#gguf")
  @FuzzTest
  void gguf(byte[] input) {
    GGUF.check(input);
  }

  @MethodSource("dev.lathe.fuzz.Seeds#tokenizers")
  @FuzzTest
  void tokenizer(byte[] input) {
    TOKENIZER.check(input);
  }

  @MethodSource("dev.lathe.fuzz.Seeds#configs")
  @FuzzTest
  void config(byte[] input) {
    CONFIG.check(input);
  }

  @MethodSource("dev.lathe.fuzz.Seeds#recipes")
  @FuzzTest
  void recipe(byte[] input) {
    RECIPE.check(input);
  }

  @MethodSource("dev.lathe.fuzz.Seeds#templates")
  @FuzzTest
  void template(byte[] input) {
    TEMPLATE.check(input);
  }
}
