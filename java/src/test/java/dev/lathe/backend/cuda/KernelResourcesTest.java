package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.NativeLibraries;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Test;

/**
 * What ptxas reported when the kernels were compiled, module by module: each is there for each
 * architecture, none spills registers to memory, and the emulated GPU has the same kernels.
 */
class KernelResourcesTest {
  private static final List<String> ARCHITECTURES =
      List.of("sm_100a", "sm_120a", "sm_80", "sm_86", "sm_89", "sm_90a");

  private static final Pattern ENTRY =
      Pattern.compile("Compiling entry function '(\\w+)' for '(\\w+)'");
  private static final Pattern SPILLS =
      Pattern.compile(
          "(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");

  private record Kernel(String name, String architecture, boolean spills) {}

  @Test
  void noKernelSpillsOnAnyArchitecture() throws IOException {
    List<String> wrong = new ArrayList<>();
    for (Map.Entry<String, List<Kernel>> module : reports().entrySet()) {
      assertThat(module.getValue()).as("kernels of module %s", module.getKey()).isNotEmpty();
      wrong.addAll(spilling(module.getKey(), module.getValue()));
      wrong.addAll(lacking(module.getKey(), module.getValue()));
    }
    assertThat(wrong).isEmpty();
  }

  /** A kernel that is in the fatbin and not in the emulated module is one that no test has run. */
  @Test
  void emulatedModulesHaveTheSameKernels() throws IOException {
    assumeTrue(CudaDriver.kind().emulated(), "this process doesn't run on the emulated GPU");
    Map<String, List<Kernel>> reports = reports();
    try (CudaContext context = CudaContext.open()) {
      List<String> missing = new ArrayList<>();
      for (Map.Entry<String, List<Kernel>> module : reports.entrySet()) {
        missing.addAll(notIn(context, module.getKey(), names(module.getValue())));
      }
      assertThat(missing).isEmpty();
    }
  }

  @Test
  void canarySpillIsSeen() {
    List<String> log =
        List.of(
            "ptxas info    : Compiling entry function 'greedy' for 'sm_80'",
            "ptxas info    : Function properties for greedy",
            "    16 bytes stack frame, 12 bytes spill stores, 12 bytes spill loads",
            "ptxas info    : Compiling entry function 'modest' for 'sm_80'",
            "    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads");
    assertThat(parse(log))
        .containsExactly(new Kernel("greedy", "sm_80", true), new Kernel("modest", "sm_80", false));
    assertThat(spilling("module", parse(log)))
        .containsExactly("module: greedy spills registers on sm_80");
  }

  @Test
  void canaryAMissingArchitectureIsSeen() {
    List<Kernel> kernels =
        new ArrayList<>(ARCHITECTURES.stream().map(a -> new Kernel("norm", a, false)).toList());
    assertThat(lacking("module", kernels)).isEmpty();
    kernels.remove(new Kernel("norm", "sm_90a", false));
    assertThat(lacking("module", kernels)).hasSize(1).first().asString().contains("norm");
  }

  @Test
  void canaryAKernelThatTheEmulatorLacksIsSeen() {
    assumeTrue(CudaDriver.kind().emulated(), "this process doesn't run on the emulated GPU");
    try (CudaContext context = CudaContext.open()) {
      assertThat(notIn(context, "rms_norm", Set.of("rms_norm_warp_f32"))).isEmpty();
      assertThat(notIn(context, "rms_norm", Set.of("rms_norm_warp_f32", "rms_norm_forgotten")))
          .containsExactly("rms_norm: rms_norm_forgotten");
    }
  }

  /** The kernels of each .cu file that makes a module, by its name. */
  private static Map<String, List<Kernel>> reports() throws IOException {
    Optional<Path> one = NativeLibraries.find("cuda/rms_norm.ptxas.txt");
    assumeTrue(one.isPresent(), () -> "no fatbins: " + NativeLibraries.whyMissing("cuda"));
    Map<String, List<Kernel>> reports = new TreeMap<>();
    for (String module : modules()) {
      Path report = NativeLibraries.locate("cuda", "cuda/" + module + ".ptxas.txt");
      reports.put(module, parse(Files.readAllLines(report)));
    }
    return reports;
  }

  private static List<String> modules() throws IOException {
    Path sources = Path.of(System.getProperty("lathe.root"), "cuda-kernels");
    try (Stream<Path> files = Files.list(sources)) {
      List<String> modules =
          files
              .map(file -> file.getFileName().toString())
              .filter(name -> name.endsWith(".cu"))
              .map(name -> name.substring(0, name.length() - ".cu".length()))
              .sorted()
              .toList();
      assertThat(modules).contains("rms_norm", "embedding", "rope");
      return modules;
    }
  }

  private static List<String> spilling(String module, List<Kernel> kernels) {
    return kernels.stream()
        .filter(Kernel::spills)
        .map(k -> "%s: %s spills registers on %s".formatted(module, k.name, k.architecture))
        .toList();
  }

  private static List<String> lacking(String module, List<Kernel> kernels) {
    return names(kernels).stream()
        .map(name -> {
          List<String> there =
              kernels.stream()
                  .filter(kernel -> kernel.name.equals(name))
                  .map(Kernel::architecture)
                  .sorted()
                  .toList();
          return there.equals(ARCHITECTURES)
              ? ""
              : "%s: %s is for %s, not %s".formatted(module, name, there, ARCHITECTURES);
        })
        .filter(text -> !text.isEmpty())
        .toList();
  }

  private static Set<String> names(List<Kernel> kernels) {
    Set<String> names = new TreeSet<>();
    kernels.forEach(kernel -> names.add(kernel.name));
    return names;
  }

  /** Those kernels that the module of this process's device doesn't have. */
  private static List<String> notIn(CudaContext context, String module, Set<String> names) {
    context.enter();
    CUmodule loaded = new CUmodule();
    context.check(
        JCudaDriver.cuModuleLoadData(loaded, CudaDriver.moduleImage(module)), "cuModuleLoadData");
    try {
      return names.stream()
          .filter(name -> JCudaDriver.cuModuleGetFunction(new CUfunction(), loaded, name) != 0)
          .map(name -> module + ": " + name)
          .toList();
    } finally {
      context.release(JCudaDriver.cuModuleUnload(loaded), "cuModuleUnload");
    }
  }

  private static List<Kernel> parse(List<String> lines) {
    List<Kernel> kernels = new ArrayList<>();
    Matcher entry = null;
    for (String line : lines) {
      Matcher named = ENTRY.matcher(line);
      if (named.find()) {
        entry = named;
      }
      Matcher spills = SPILLS.matcher(line);
      if (spills.find() && entry != null) {
        boolean none = spills.group(2).equals("0") && spills.group(3).equals("0");
        kernels.add(new Kernel(entry.group(1), entry.group(2), !none));
        entry = null;
      }
    }
    return kernels;
  }
}
