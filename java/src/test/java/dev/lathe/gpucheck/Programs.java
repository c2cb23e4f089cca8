package dev.lathe.gpucheck;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/** Programs that other people install, where they are usually found. */
final class Programs {
  private Programs() {}

  /** A program in PATH, or in an installed CUDA toolkit. */
  static Optional<String> find(String program) {
    return find(
        program,
        System.getenv().getOrDefault("PATH", ""),
        Optional.ofNullable(System.getenv("CUDA_HOME")),
        Path.of("/usr/local"));
  }

  /**
   * @param toolkits where toolkits are installed: {@code cuda}, {@code cuda-13.0}
   */
  static Optional<String> find(
      String program, String path, Optional<String> cudaHome, Path toolkits) {
    List<Path> folders = new ArrayList<>();
    for (String folder : path.split(File.pathSeparator, -1)) {
      if (!folder.isEmpty()) {
        folders.add(Path.of(folder));
      }
    }
    List<Path> homes = new ArrayList<>();
    cudaHome.ifPresent(home -> homes.add(Path.of(home)));
    homes.add(toolkits.resolve("cuda"));
    homes.addAll(versions(toolkits));
    for (Path home : homes) {
      folders.add(home.resolve("bin"));
      folders.add(home.resolve("compute-sanitizer"));
    }
    return folders.stream()
        .map(folder -> folder.resolve(program))
        .filter(file -> Files.isRegularFile(file) && Files.isExecutable(file))
        .map(Path::toString)
        .findFirst();
  }

  /** {@code cuda-13.0} and so on, the newest first. */
  private static List<Path> versions(Path toolkits) {
    if (!Files.isDirectory(toolkits)) {
      return List.of();
    }
    try (var files = Files.list(toolkits)) {
      return files
          .filter(file -> file.getFileName().toString().matches("cuda-\\d+(\\.\\d+)?"))
          .sorted(Comparator.comparingDouble(Programs::version).reversed())
          .toList();
    } catch (IOException e) {
      return List.of(); // a folder that can't be read has nothing for us
    }
  }

  private static double version(Path toolkit) {
    String[] parts = toolkit.getFileName().toString().substring("cuda-".length()).split("\\.", -1);
    return 1000 * Integer.parseInt(parts[0]) + (parts.length > 1 ? Integer.parseInt(parts[1]) : 0);
  }

  static String pythonName() {
    return Optional.ofNullable(System.getenv("LATHE_PYTHON")).orElse("python3");
  }

  static Optional<String> python() {
    String name = pythonName();
    return name.contains("/") ? Optional.of(name) : find(name);
  }
}
