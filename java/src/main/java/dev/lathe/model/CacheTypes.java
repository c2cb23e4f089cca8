package dev.lathe.model;

import dev.lathe.backend.Backend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * Who decides in what type keys and values are kept: the user, else the model, else the backend.
 */
public final class CacheTypes {
  private CacheTypes() {}

  /**
   * Why a backend can't keep keys and values in a type, with those that it can; empty if it can.
   */
  public static Optional<String> refusal(Backend backend, DType type) {
    return backend.cacheTypes().contains(type)
        ? Optional.empty()
        : Optional.of(
            "the %s backend keeps keys and values as %s, not as %s"
                .formatted(
                    backend.name(),
                    backend.cacheTypes().stream()
                        .map(DType::label)
                        .collect(Collectors.joining(", ")),
                    type.label()));
  }

  /**
   * What was asked for, else what the model asks for; empty where the backend chooses.
   *
   * @throws InvalidInputException if the backend can't keep keys and values so
   */
  static Optional<DType> wanted(Optional<DType> asked, Checkpoint checkpoint, Backend backend) {
    if (asked.isPresent()) {
      refusal(backend, asked.get())
          .ifPresent(why -> {
            throw new InvalidInputException(why);
          });
      return asked;
    }
    Optional<DType> recorded = checkpoint.cacheType();
    recorded
        .flatMap(type -> refusal(backend, type))
        .ifPresent(why -> {
          throw new InvalidInputException(
              "%s: config.json asks for keys and values as %s (lathe.kv_cache): %s; --kv-cache-type of generate, eval and profile chooses one of these"
                  .formatted(checkpoint.path(), recorded.get().label(), why));
        });
    return recorded;
  }
}
