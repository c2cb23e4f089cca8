package dev.lathe.cli;

import dev.lathe.backend.Backend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.CacheTypes;
import dev.lathe.tensor.DType;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/** {@code --kv-cache-type}. */
final class CacheTypeOption {
  private static final String NAME = "--kv-cache-type";
  private static final String AUTO = "auto";
  private static final List<DType> TYPES = List.of(DType.F32, DType.F16, DType.BF16, DType.I8);

  @Option(
      names = NAME,
      defaultValue = AUTO,
      paramLabel = "TYPE",
      description =
          "What keys and values are kept as: f32, f16, bf16 or int8, as far as the backend has it;"
              + " auto: as the model asks, else the backend's choice. Default: ${DEFAULT-VALUE}.")
  private String type;

  /**
   * Empty for {@code auto}.
   *
   * @throws InvalidInputException if there is no such type, or the backend doesn't have it; says
   *     what it has
   */
  Optional<DType> on(Backend backend) {
    Optional<DType> asked = asked();
    asked
        .flatMap(dtype -> CacheTypes.refusal(backend, dtype))
        .ifPresent(why -> {
          throw new InvalidInputException("%s %s: %s".formatted(NAME, type, why));
        });
    return asked;
  }

  /** What doesn't need a backend to be wrong. */
  Optional<DType> asked() {
    HardwareOptions.oneOf(
        NAME, type, Stream.concat(Stream.of(AUTO), TYPES.stream().map(DType::label)).toList());
    return TYPES.stream().filter(dtype -> dtype.label().equals(type)).findFirst();
  }
}
