package dev.lathe.gpucheck;

import dev.lathe.gpucheck.Part.Kind;
import dev.lathe.gpucheck.Part.Time;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * All parts, by what they are worth: what everything else stands on first, then what is asked for.
 * A pass on an H200 is expected to take about 8 minutes; on a real GPU nobody has measured it yet.
 */
final class Plan {
  private static final String BENCHMARKS = "dev.lathe.backend.cuda.Benchmarks";

  private final Path root;
  private final Options options;
  private final Map<String, String> environment;
  private final boolean emulated;

  /**
   * @param environment that every part gets: where cuBLAS is, which GPU
   */
  Plan(Path root, Options options, Map<String, String> environment) {
    this.root = root;
    this.options = options;
    this.environment = Map.copyOf(environment);
    this.emulated = options.emulated();
  }

  /** Whether this call runs them or not; those of some tests only where these were asked for. */
  List<Part> parts() {
    List<Part> parts = new ArrayList<>();
    List<String> classes = TestClasses.tagged("cuda");
    List<String> some = classes.stream().filter(options::wantsTest).toList();
    tests(parts, "", classes);
    options.tests().ifPresent(pattern -> tests(parts, Part.SOME + pattern, some));
    parts.add(
        java(
            "bench",
            "asked",
            List.of(BENCHMARKS, "asked"),
            emulated ? Time.seconds(10, 120, 600) : Time.seconds(30, 40, 240)));
    models(parts);
    parts.add(peers("asked", Time.seconds(120, 150, 400)));
    if (!emulated) {
      parts.add(profile("llama-3.1-8b", Time.seconds(60, 0, 240)));
    }
    parts.add(
        java(
            "bench",
            "rest",
            List.of(BENCHMARKS, "rest"),
            emulated ? Time.seconds(30, 120, 600) : Time.seconds(60, 40, 300)));
    parts.add(peers("rest", Time.seconds(90, 100, 400)));
    parts.add(
        lathe(
            "models",
            "generate",
            List.of(
                "generate", "--prompt", "Once upon a time", "--max-tokens", emulated ? "8" : "64"),
            emulated ? "embedded" : "synthetic:llama-3.2-1b:int8",
            emulated ? Time.seconds(10, 0, 300) : Time.seconds(15, 0, 120)));
    for (String tool : List.of("memcheck", "racecheck")) {
      some.forEach(name -> parts.add(sanitized(tool, name)));
    }
    return List.copyOf(parts);
  }

  /** Those of instructions, and all others. */
  private void tests(List<Part> parts, String which, List<String> classes) {
    parts.add(
        tests(
            "instructions",
            "conformance" + which,
            List.of(),
            classes.stream().filter(Plan::ofInstructions).toList(),
            emulated ? Time.seconds(30, 300, 600) : Time.seconds(15, 30, 120)));
    parts.add(
        tests(
            "tests",
            "cuda" + which,
            List.of(),
            classes.stream().filter(name -> !ofInstructions(name)).toList(),
            emulated ? Time.seconds(300, 600, 3600) : Time.seconds(90, 40, 420)));
  }

  /** Decoding, and what profile says of it. */
  private void models(List<Part> parts) {
    if (emulated) {
      parts.add(
          java(
              "models",
              "decode-embedded",
              List.of(
                  DecodeBench.class.getName(),
                  root.resolve("calibration-data/embedded").toString(),
                  "embedded",
                  "lathe"),
              Time.seconds(10, 300, 600)));
      parts.add(
          lathe(
              "models",
              "profile-embedded",
              List.of("profile"),
              "embedded",
              Time.seconds(20, 0, 300)));
      return;
    }
    parts.add(decode("llama-3.2-1b", Time.seconds(15, 90, 120)));
    parts.add(profile("llama-3.2-1b", Time.seconds(20, 0, 120)));
    parts.add(decode("llama-3.1-8b", Time.seconds(50, 180, 240)));
    parts.add(unfused("llama-3.2-1b", Time.seconds(15, 90, 120)));
  }

  /** Tests of what single instructions compute, on which all others stand. */
  private static boolean ofInstructions(String className) {
    String name = className.substring(className.lastIndexOf('.') + 1);
    return name.contains("Instruction") || name.contains("NarrowFloat");
  }

  private Part tests(
      String group, String name, List<String> wrapper, List<String> classes, Time time) {
    if (classes.isEmpty()) {
      return Part.missing(group, name, Kind.ITEMS, "there is no such test");
    }
    List<String> command = new ArrayList<>(wrapper);
    command.addAll(java());
    command.add(TestProcess.class.getName());
    command.addAll(classes);
    return Part.of(group, name, Kind.ITEMS, command, environment, time);
  }

  private Part sanitized(String tool, String className) {
    String name = tool + "." + className.substring(className.lastIndexOf('.') + 1);
    Optional<String> sanitizer = Programs.find("compute-sanitizer");
    if (emulated || sanitizer.isEmpty()) {
      String why =
          emulated
              ? "the emulated GPU checks accesses itself"
              : "compute-sanitizer is not installed";
      return Part.missing("sanitize", name, Kind.ITEMS, why);
    }
    List<String> wrapper =
        List.of(
            sanitizer.get(),
            "--tool",
            tool,
            "--target-processes",
            "application-only",
            "--log-file",
            PartRunner.SCRATCH + "/sanitizer",
            "--error-exitcode",
            "86");
    return tests("sanitize", name, wrapper, List.of(className), Time.seconds(60, 240, 480));
  }

  /** A main class among the tests' classes, which has sizes for the emulated GPU too. */
  private Part java(String group, String name, List<String> words, Time time) {
    List<String> command = new ArrayList<>(java());
    command.addAll(words);
    if (emulated) {
      command.add("--tiny");
    }
    boolean model = group.equals("models");
    return Part.of(
        group, name, Kind.ITEMS, command, model ? modelEnvironment() : environment, time);
  }

  private Part decode(String shape, Time time) {
    return java(
        "models",
        "decode-" + shape,
        List.of(DecodeBench.class.getName(), "synthetic:" + shape + ":bf16", shape, "lathe"),
        time);
  }

  /** The same, each operation a kernel of its own: what fusing them brings. */
  private Part unfused(String shape, Time time) {
    String off = "LATHE_CUDA_FUSION";
    List<String> command = new ArrayList<>(java());
    command.addAll(
        List.of(
            DecodeBench.class.getName(),
            "synthetic:" + shape + ":bf16",
            shape,
            "lathe, " + off + "=0"));
    Map<String, String> all = new HashMap<>(modelEnvironment());
    all.put(off, "0");
    return Part.of("models", "decode-unfused-" + shape, Kind.ITEMS, command, all, time);
  }

  private Part profile(String shape, Time time) {
    return lathe(
        "models", "profile-" + shape, List.of("profile"), "synthetic:" + shape + ":bf16", time);
  }

  private Part lathe(String group, String name, List<String> words, String model, Time time) {
    List<String> command = new ArrayList<>();
    command.add(root.resolve("scripts/lathe").toString());
    command.addAll(words);
    command.addAll(List.of("--backend", "cuda", "--model", model, "--json"));
    return Part.of(group, name, Kind.OBJECT, command, modelEnvironment(), time);
  }

  /** PyTorch has no emulated GPU: there, a stand-in for it shows that the scripts run. */
  private Part peers(String which, Time time) {
    Optional<String> python = Programs.python();
    if (python.isEmpty()) {
      return Part.missing("peers", which, Kind.ITEMS, Programs.pythonName() + " is not installed");
    }
    Path scripts = root.resolve("scripts/peers");
    List<String> command =
        new ArrayList<>(List.of(python.get(), scripts.resolve("torch_peers.py").toString(), which));
    Map<String, String> all = new HashMap<>(environment);
    all.put("PYTHONDONTWRITEBYTECODE", "1");
    if (emulated) {
      command.add("--tiny");
      all.put("PYTHONPATH", scripts.resolve("standin").toString());
    }
    return Part.of("peers", which, Kind.ITEMS, command, all, time);
  }

  /** Whole models are too much for the emulated GPU with its checks. */
  private Map<String, String> modelEnvironment() {
    Map<String, String> all = new HashMap<>(environment);
    if (emulated) {
      all.put("LATHE_EMULATE_CUDA", "fast");
    }
    return all;
  }

  /** This JVM's own command, for another main class. */
  private static List<String> java() {
    return List.of(
        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "-Xmx4g",
        "-Xss4m",
        "-XX:+UseSerialGC",
        "--enable-native-access=ALL-UNNAMED",
        "-Dorg.bytedeco.javacpp.maxbytes=0",
        "-Dorg.bytedeco.javacpp.maxphysicalbytes=0",
        "-Dlathe.shared=" + System.getProperty("lathe.shared"),
        "-Dlathe.root=" + System.getProperty("lathe.root"),
        "-Djazzer.hooks=false",
        "-cp",
        System.getProperty("java.class.path"));
  }
}
