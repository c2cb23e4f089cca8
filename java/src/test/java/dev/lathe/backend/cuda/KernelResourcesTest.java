package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.NativeLibraries;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/**
 * What ptxas reported when the kernels were compiled: none may spill registers to memory, on any
 * architecture.
 */
class KernelResourcesTest {
  private static final Pattern ENTRY =
      Pattern.compile("Compiling entry function '(\\w+)' for '(\\w+)'");
  private static final Pattern SPILLS =
      Pattern.compile(
          "(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");

  private record Kernel(String name, String architecture, boolean spills) {}

  @Test
  void noKernelSpills() throws IOException {
    Optional<Path> log = NativeLibraries.find("cuda/rms_norm.ptxas.txt");
    assumeTrue(log.isPresent(), () -> "no fatbins: " + NativeLibraries.whyMissing("cuda"));
    List<Kernel> kernels = parse(Files.readAllLines(log.get()));
    assertThat(kernels).noneMatch(Kernel::spills);
    TreeSet<String> architectures = new TreeSet<>();
    kernels.forEach(kernel -> architectures.add(kernel.architecture()));
    assertThat(architectures)
        .containsExactly("sm_100a", "sm_120a", "sm_80", "sm_86", "sm_89", "sm_90a");
    assertThat(kernels).hasSize(4 * architectures.size());
  }

  @Test
  void canarySpillIsSeen() {
    List<String> log =
        List.of(
            "ptxas info    : Compiling entry function 'greedy' for 'sm_80'",
            "    16 bytes stack frame, 12 bytes spill stores, 12 bytes spill loads");
    assertThat(parse(log)).containsExactly(new Kernel("greedy", "sm_80", true));
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
