package dev.lathe.compress;

import dev.lathe.backend.Backend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.CacheTypes;
import dev.lathe.tensor.DType;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Keys and values as INT8 while the model runs: of each token and head {@code headDim} codes and
 * one F32 scale, found when they are kept ({@link dev.lathe.backend.KvLayer}). The weights stay
 * what they are; the model says in its configuration what it asks for. What it costs in quality
 * shows when the model is run, and nowhere in its weights.
 */
public record QuantizeKeysAndValues() implements Technique {
  @Override
  public String name() {
    return "kv8";
  }

  @Override
  public String description() {
    return "quantize kv8 rtn per-token-and-head symmetric";
  }

  @Override
  public Optional<String> refusal(Checkpoint in) {
    return in.cacheType()
        .map(type -> "the model asks for keys and values as %s already".formatted(type.label()));
  }

  @Override
  public Optional<String> refusal(Checkpoint in, Backend on) {
    return refusal(in).or(() -> CacheTypes.refusal(on, DType.I8));
  }

  @Override
  public CompressionResult apply(Checkpoint in, Path out, Progress progress) {
    refusal(in)
        .ifPresent(why -> {
          throw new InvalidInputException(in.path() + ": " + why);
        });
    return Rewrite.weightsAsTheyAre(in, out, description(), progress, writer -> writer.int8Cache());
  }
}
