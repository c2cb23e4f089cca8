package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import java.util.List;
import picocli.CommandLine.Option;

/** What to run on: {@code --backend}, {@code --cpu-kernels}, {@code --threads}. */
final class HardwareOptions {
  static final List<String> BACKENDS = List.of("auto", "cuda", "cpu", "reference");
  static final List<String> KERNELS = List.of("auto", "native", "nd4j");

  @Option(
      names = "--backend",
      defaultValue = "auto",
      paramLabel = "NAME",
      description =
          "auto, cuda, cpu, or reference (plain Java in double precision, slow). Default: auto.")
  private String backend;

  @Option(
      names = "--cpu-kernels",
      defaultValue = "auto",
      paramLabel = "KIND",
      description = "Kernels of the cpu backend: auto, native or nd4j. Default: auto.")
  private String cpuKernels;

  @Option(
      names = "--threads",
      defaultValue = "0",
      paramLabel = "N",
      description = "CPU threads. Default: as many as the machine has cores.")
  private int threads;

  String backend() {
    return oneOf("--backend", backend, BACKENDS);
  }

  String cpuKernels() {
    return oneOf("--cpu-kernels", cpuKernels, KERNELS);
  }

  /** 0 for as many as the machine has cores. */
  int threads() {
    return threads(threads);
  }

  static String oneOf(String option, String value, List<String> allowed) {
    if (!allowed.contains(value)) {
      throw new InvalidInputException(
          "%s %s: there are %s".formatted(option, value, String.join(", ", allowed)));
    }
    return value;
  }

  /** Far beyond what a machine has; each thread takes memory of its own. */
  static int threads(int value) {
    return between("--threads", value, 0, 1024);
  }

  /** Sequences side by side: each takes memory from the start, so a slip must not take it all. */
  static int batch(int value) {
    return between("--batch", value, 1, 4096);
  }

  private static int between(String option, int value, int least, int most) {
    if (value > most) {
      throw new InvalidInputException("%s %d: must be at most %d".formatted(option, value, most));
    }
    return atLeast(option, value, least);
  }

  static int atLeast(String option, int value, int least) {
    if (value < least) {
      throw new InvalidInputException("%s %d: must be at least %d".formatted(option, value, least));
    }
    return value;
  }
}
