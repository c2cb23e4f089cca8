package dev.lathe.cli;

import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cpu.CpuCeilings;
import dev.lathe.backend.cuda.CublasLibrary;
import dev.lathe.tokenize.Tokenizers;
import java.io.PrintStream;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** What this machine can run, and why not. */
@Command(
    name = "doctor",
    description = "Says what this machine can run, and why not; measures its ceilings.",
    mixinStandardHelpOptions = true)
final class DoctorCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private JsonOption output;

  @Option(
      names = "--threads",
      defaultValue = "0",
      paramLabel = "N",
      description = "CPU threads to measure with. Default: as many as the machine has cores.")
  private int threads;

  @Override
  public Integer call() {
    HardwareOptions.threads(threads);
    int used = threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
    List<BackendHealth> backends = BackendHealth.all(used);
    OptionalDouble roundTrip =
        CpuBackend.whyUnusable().isEmpty()
            ? CpuCeilings.roundTripNanos(used)
            : OptionalDouble.empty();
    Optional<String> tokenizer = Tokenizers.whyUnusable();
    if (output.json) {
      Json.print(json(backends, roundTrip, tokenizer), lathe.console().out());
    } else {
      print(backends, roundTrip, tokenizer, lathe.console().out());
    }
    return 0;
  }

  private static ObjectNode json(
      List<BackendHealth> backends, OptionalDouble roundTrip, Optional<String> tokenizer) {
    ObjectNode json = Json.object();
    ArrayNode list = json.putArray("backends");
    for (BackendHealth backend : backends) {
      list.add(backend.json());
    }
    json.set("gpu", GpuSensors.read().json());
    Optional<String> noCublas = CublasLibrary.whyUnusable();
    ObjectNode cublas = json.putObject("cublas");
    cublas.put("usable", noCublas.isEmpty());
    cublas.put("reason", noCublas.orElseGet(CublasLibrary::description));
    ObjectNode build = json.putObject("native_build");
    NativeBuild.components().forEach(build::put);
    ObjectNode tokenizers = json.putObject("tokenizer");
    tokenizers.put("usable", tokenizer.isEmpty());
    tokenizers.put("reason", tokenizer.orElse("a test text was encoded as it should be"));
    json.put("version", Version.current());
    json.put("jdk", jdk());
    json.put("os", os());
    json.put("thread_round_trip_ns", roundTrip.isPresent() ? roundTrip.getAsDouble() : null);
    json.put("cores", Runtime.getRuntime().availableProcessors());
    json.put("heap_limit_bytes", Runtime.getRuntime().maxMemory());
    return json;
  }

  private static void print(
      List<BackendHealth> backends,
      OptionalDouble roundTrip,
      Optional<String> tokenizer,
      PrintStream out) {
    out.println("lathe " + Version.current() + "; JDK " + jdk() + "; " + os());
    for (BackendHealth backend : backends) {
      out.println(backend.line());
    }
    roundTrip.ifPresent(nanos ->
        out.println(
            line("threads", true, "a word to another and back in %.0f ns".formatted(nanos))));
    out.println(GpuSensors.read().line());
    Optional<String> noCublas = CublasLibrary.whyUnusable();
    out.println(line("cublas", noCublas.isEmpty(), noCublas.orElseGet(CublasLibrary::description)));
    out.println(line("tokenizer", tokenizer.isEmpty(), tokenizer.orElse("encodes as it should")));
    for (Map.Entry<String, String> component : NativeBuild.components().entrySet()) {
      boolean built = component.getValue().startsWith("built");
      out.println(line("build/" + component.getKey(), built, component.getValue()));
    }
  }

  static String line(String name, boolean good, String what) {
    return "%-3s %-15s %s".formatted(good ? "ok" : "no", name, what);
  }

  private static String jdk() {
    return Runtime.version() + " (" + System.getProperty("java.vendor") + ")";
  }

  private static String os() {
    return "%s %s %s"
        .formatted(
            System.getProperty("os.name"),
            System.getProperty("os.version"),
            System.getProperty("os.arch"));
  }
}
