package dev.lathe.backend;

import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.InvalidInputException;
import java.util.Optional;

/** Which backend runs, from what was asked for and what this machine can do: no side effects. */
final class BackendSelector {
  private BackendSelector() {}

  /** The name of a backend and why it was chosen. */
  record Selection(String name, String reason) {}

  /**
   * @param requested auto, cpu, cuda or reference
   * @param cudaUnusable why CUDA cannot run here; empty where it can
   * @throws BackendUnusableException if CUDA was asked for and cannot run: it is never replaced
   */
  static Selection select(String requested, Optional<String> cudaUnusable) {
    return switch (requested) {
      case "auto" ->
          cudaUnusable
              .map(why -> new Selection("cpu", why))
              .orElseGet(() -> new Selection("cuda", "a usable CUDA device was found"));
      case "cuda" -> {
        if (cudaUnusable.isPresent()) {
          throw new BackendUnusableException(
              "backend cuda cannot run here: "
                  + cudaUnusable.get()
                  + "; --backend cpu runs without a GPU");
        }
        yield new Selection("cuda", "it was asked for");
      }
      case "cpu", "reference" -> new Selection(requested, "it was asked for");
      default ->
          throw new InvalidInputException(
              "there is no backend \"%s\"; there are auto, cuda, cpu and reference"
                  .formatted(requested));
    };
  }

  /** Which CPU kernels run. */
  static Selection selectKernels(String requested, Optional<String> nativeUnusable) {
    return switch (requested) {
      case "auto" ->
          nativeUnusable
              .map(why -> new Selection("nd4j", "the native kernels cannot run: " + why))
              .orElseGet(() -> new Selection("native", "they run here"));
      case "native" -> {
        if (nativeUnusable.isPresent()) {
          throw new BackendUnusableException(
              "the native CPU kernels cannot run: "
                  + nativeUnusable.get()
                  + "; --cpu-kernels nd4j runs without them");
        }
        yield new Selection("native", "they were asked for");
      }
      case "nd4j" -> new Selection("nd4j", "they were asked for");
      default ->
          throw new InvalidInputException(
              "there are no CPU kernels \"%s\"; there are auto, native and nd4j"
                  .formatted(requested));
    };
  }
}
