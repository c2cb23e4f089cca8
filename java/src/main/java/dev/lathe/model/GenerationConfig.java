package dev.lathe.model;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.StrictJson;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * What is read of {@code generation_config.json}: further tokens that end a generation. Models
 * trained to chat often name the token that ends a turn there only, and would never stop without
 * it. How to draw tokens is the caller's to say, so temperatures and the like are left alone.
 */
final class GenerationConfig {
  private static final String NAME = "generation_config.json";

  private GenerationConfig() {}

  /**
   * The configuration, whose {@code endOfSequence} also has what the checkpoint's {@code
   * generation_config.json} lists, if there is one.
   *
   * @throws dev.lathe.error.InvalidInputException if that file is broken, or {@code eos_token_id}
   *     is neither a token of the vocabulary nor a list of them
   */
  static ModelConfig complete(ModelConfig config, Checkpoint checkpoint) {
    Set<Integer> ends = new LinkedHashSet<>(config.endOfSequence());
    checkpoint
        .content(NAME)
        .ifPresent(json -> {
          String where = checkpoint.path() + ": " + NAME;
          ConfigKeys keys = new ConfigKeys(StrictJson.parseObject(json, where), where);
          ends.addAll(keys.tokens("eos_token_id", config.vocabulary()));
        });
    return config.withEndOfSequence(ends);
  }
}
