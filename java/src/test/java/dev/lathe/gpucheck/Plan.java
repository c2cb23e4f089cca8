package dev.lathe.gpucheck;

import dev.lathe.gpucheck.Part.Kind;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** All parts, in the order in which they run. */
final class Plan {
  /** Main methods among the tests' classes that time kernels; each prints JSON lines. */
  private static final List<String> BENCHES =
      List.of(
          "dev.lathe.backend.cuda.CublasBench",
          "dev.lathe.backend.cuda.KernelBench",
          "dev.lathe.backend.cuda.AttentionBench");

  /** What {@code torch_peers.py} can be asked for. */
  private static final List<String> PEERS =
      List.of(
          "read",
          "linear",
          "int8",
          "int4",
          "sparse24",
          "attention",
          "decode-llama-3.2-1b",
          "decode-llama-3.1-8b");

  private static final int MODEL_RUNS = 3;

  private final Path root;
  private final Options options;
  private final Map<String, String> environment;

  /**
   * @param environment that every part gets: where cuBLAS is, which GPU
   */
  Plan(Path root, Options options, Map<String, String> environment) {
    this.root = root;
    this.options = options;
    this.environment = Map.copyOf(environment);
  }

  List<Part> parts() {
    List<Part> parts = new ArrayList<>();
    List<String> classes = TestClasses.tagged("cuda");
    List<String> instructions = classes.stream().filter(Plan::ofInstructions).toList();
    if (instructions.isEmpty()) {
      parts.add(
          Part.missing("instructions", "none", Kind.TESTS, "no test has Instruction in its name"));
    }
    instructions.forEach(name -> parts.add(test("instructions", name, List.of(), seconds(120))));
    for (String name : classes) {
      if (!ofInstructions(name)) {
        parts.add(test("tests", name, List.of(), seconds(options.emulated() ? 600 : 240)));
      }
    }
    if (options.sanitize()) {
      for (String tool : List.of("memcheck", "racecheck")) {
        classes.forEach(name -> parts.add(sanitized(tool, name)));
      }
    }
    // Ours and theirs one after another, so that both find the chip as warm.
    for (String bench : BENCHES) {
      parts.add(bench(bench));
    }
    PEERS.forEach(peer -> parts.add(peer(peer)));
    if (options.emulated()) {
      parts.add(model("embedded", 1, 8, seconds(300)));
    } else {
      for (int run = 1; run <= MODEL_RUNS; run++) {
        parts.add(model("synthetic:llama-3.2-1b:bf16", run, 512, seconds(180)));
      }
      parts.add(profile("synthetic:llama-3.2-1b:bf16", seconds(240)));
      for (int run = 1; run <= MODEL_RUNS; run++) {
        parts.add(model("synthetic:llama-3.1-8b:bf16", run, 256, seconds(300)));
      }
      parts.add(profile("synthetic:llama-3.1-8b:bf16", seconds(420)));
    }
    return parts.stream().filter(part -> options.wants(part.group())).toList();
  }

  /** Tests of what single instructions compute, on which all others stand. */
  private static boolean ofInstructions(String className) {
    String name = className.substring(className.lastIndexOf('.') + 1);
    return name.contains("Instruction") || name.contains("NarrowFloat");
  }

  private Part test(String group, String className, List<String> wrapper, Duration limit) {
    List<String> command = new ArrayList<>(wrapper);
    command.addAll(java());
    command.addAll(
        List.of(
            "org.junit.platform.console.ConsoleLauncher",
            "execute",
            "--select-class=" + className,
            "--include-classname=.*",
            "--include-tag=cuda",
            "--exclude-tag=long | launcher",
            "--disable-banner",
            "--disable-ansi-colors",
            "--details=summary",
            "--reports-dir=" + PartRunner.SCRATCH));
    String name = className.substring(className.lastIndexOf('.') + 1);
    if (!wrapper.isEmpty()) {
      name = wrapper.get(2) + "." + name;
    }
    return Part.of(group, name, Kind.TESTS, command, environment, limit);
  }

  private Part sanitized(String tool, String className) {
    String name = tool + "." + className.substring(className.lastIndexOf('.') + 1);
    Optional<String> sanitizer = find("compute-sanitizer");
    if (options.emulated() || sanitizer.isEmpty()) {
      String why =
          options.emulated()
              ? "the emulated GPU checks accesses itself"
              : "compute-sanitizer is not installed";
      return Part.missing("sanitize", name, Kind.TESTS, why);
    }
    List<String> wrapper =
        List.of(
            sanitizer.get(),
            "--tool",
            tool,
            "--target-processes",
            "application-only",
            "--error-exitcode",
            "86");
    return test("sanitize", className, wrapper, seconds(480));
  }

  private Part bench(String className) {
    String name = className.substring(className.lastIndexOf('.') + 1);
    try {
      Class.forName(className, false, Plan.class.getClassLoader());
    } catch (ClassNotFoundException e) {
      return Part.missing("bench", name, Kind.LINES, "there is no class " + className);
    }
    List<String> command = new ArrayList<>(java());
    command.add(className);
    if (options.emulated()) {
      command.add("--tiny");
    }
    return Part.of("bench", name, Kind.LINES, command, environment, seconds(480));
  }

  private Part peer(String group) {
    String python = Optional.ofNullable(System.getenv("LATHE_PYTHON")).orElse("python3");
    Optional<String> found = python.contains("/") ? Optional.of(python) : find(python);
    if (found.isEmpty()) {
      return Part.missing("peers", group, Kind.LINES, python + " is not installed");
    }
    List<String> command = new ArrayList<>();
    command.add(found.get());
    command.add(root.resolve("scripts/peers/torch_peers.py").toString());
    command.add(group);
    if (options.emulated()) {
      command.addAll(List.of("--tiny", "--list")); // PyTorch has no emulated GPU
    }
    return Part.of("peers", group, Kind.LINES, command, environment, seconds(420));
  }

  private Part model(String model, int run, int tokens, Duration limit) {
    List<String> command =
        List.of(
            lathe(),
            "generate",
            "--backend",
            "cuda",
            "--model",
            model,
            "--prompt",
            "Once upon a time",
            "--max-tokens",
            String.valueOf(tokens),
            "--ignore-eos",
            "--json");
    String name = model.replace("synthetic:", "").replace(':', '-') + "." + run;
    return Part.of("models", name, Kind.OBJECT, command, modelEnvironment(), limit);
  }

  private Part profile(String model, Duration limit) {
    List<String> command =
        List.of(lathe(), "profile", "--backend", "cuda", "--model", model, "--json");
    String name = model.replace("synthetic:", "").replace(':', '-') + ".profile";
    return Part.of("models", name, Kind.OBJECT, command, modelEnvironment(), limit);
  }

  /** Whole models are too much for the emulated GPU with its checks. */
  private Map<String, String> modelEnvironment() {
    Map<String, String> all = new HashMap<>(environment);
    if (options.emulated()) {
      all.put("LATHE_EMULATE_CUDA", "fast");
    }
    return all;
  }

  private String lathe() {
    return root.resolve("scripts/lathe").toString();
  }

  /** This JVM's own command, for another main class. */
  private static List<String> java() {
    return List.of(
        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "-Xmx4g",
        "-XX:+UseSerialGC",
        "--enable-native-access=ALL-UNNAMED",
        "-Dlathe.shared=" + System.getProperty("lathe.shared"),
        "-Dlathe.root=" + System.getProperty("lathe.root"),
        "-Djazzer.hooks=false",
        "-cp",
        System.getProperty("java.class.path"));
  }

  /** A program in PATH, or in an installed CUDA toolkit. */
  private static Optional<String> find(String program) {
    List<String> folders = new ArrayList<>();
    folders.addAll(List.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator)));
    Optional.ofNullable(System.getenv("CUDA_HOME")).ifPresent(home -> folders.add(home + "/bin"));
    folders.add("/usr/local/cuda/bin");
    return folders.stream()
        .filter(folder -> !folder.isEmpty())
        .map(folder -> Path.of(folder, program))
        .filter(Files::isExecutable)
        .map(Path::toString)
        .findFirst();
  }

  private static Duration seconds(int seconds) {
    return Duration.ofSeconds(seconds);
  }
}
