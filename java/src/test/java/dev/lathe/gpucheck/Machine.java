package dev.lathe.gpucheck;

import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.LatheException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The machine as {@code lathe doctor} sees it.
 *
 * @param device the GPU's name
 * @param doctor all that doctor said
 * @param environment what parts need to be told: where cuBLAS is
 */
record Machine(String device, JsonNode doctor, Map<String, String> environment) {
  private static final JsonMapper JSON = JsonMapper.builder().build();
  private static final int LIMIT_SECONDS = 300; // in a checkout it may have to build

  /**
   * @throws BackendUnusableException if CUDA can't be used here; says why
   */
  static Machine examine(Path root, Path scratch) throws IOException, InterruptedException {
    Map<String, String> environment = new HashMap<>();
    JsonNode doctor = doctor(root, scratch, environment);
    if (System.getenv("LATHE_CUBLAS") == null
        && !doctor.path("cublas").path("usable").asBoolean(true)) {
      for (String packages : pythonPackages(scratch)) {
        environment.put("LATHE_CUBLAS", packages);
        doctor = doctor(root, scratch, environment);
      }
    }
    for (JsonNode backend : doctor.get("backends")) {
      if (backend.get("name").stringValue().equals("cuda")) {
        // Its kernels can be tested before the backend above them is whole.
        if (backend.get("device").isNull()) {
          throw new BackendUnusableException("no GPU: " + backend.get("reason").stringValue());
        }
        return new Machine(backend.get("device").stringValue(), doctor, Map.copyOf(environment));
      }
    }
    throw new IllegalStateException("doctor says nothing of cuda: " + doctor);
  }

  /** The device's name as a file's: {@code nvidia-h200}. */
  String slug() {
    return device.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceAll("^-|-$", "");
  }

  private static JsonNode doctor(Path root, Path scratch, Map<String, String> environment)
      throws IOException, InterruptedException {
    List<String> command = List.of(root.resolve("scripts/lathe").toString(), "doctor", "--json");
    String out = output(command, scratch, environment);
    try {
      return JSON.readTree(out);
    } catch (JacksonException e) {
      throw new LatheException(LatheException.FAILED, "doctor printed no JSON: " + out, e);
    }
  }

  /** Where a Python keeps NVIDIA's packages, if it has them. */
  private static List<String> pythonPackages(Path scratch) throws InterruptedException {
    String python = System.getenv().getOrDefault("LATHE_PYTHON", "python3");
    String script = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
    try {
      String folder = output(List.of(python, "-c", script), scratch, Map.of()).strip();
      return Files.isDirectory(Path.of(folder, "nvidia")) ? List.of(folder) : List.of();
    } catch (IOException | LatheException e) {
      return List
          .of(); // no Python, so none of its packages; doctor has said that cuBLAS is missing
    }
  }

  private static String output(List<String> command, Path scratch, Map<String, String> environment)
      throws IOException, InterruptedException {
    Path out = scratch.resolve("machine.out");
    Path err = scratch.resolve("machine.err");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile());
    builder.environment().putAll(environment);
    Process process = builder.start();
    if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new LatheException(LatheException.FAILED, String.join(" ", command) + " does not end");
    }
    if (process.exitValue() != 0) {
      throw new LatheException(
          LatheException.FAILED,
          "%s ended with %d: %s"
              .formatted(String.join(" ", command), process.exitValue(), Files.readString(err)));
    }
    return Files.readString(out);
  }
}
