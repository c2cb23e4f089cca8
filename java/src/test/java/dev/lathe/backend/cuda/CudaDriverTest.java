package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.lathe.backend.NativeLibraries;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Which driver is chosen, and what is said where there is none. */
@Tag("cuda")
class CudaDriverTest {
  /** Prints a probe, in a JVM of its own: a process can't change its driver. */
  static final class PrintProbe {
    private PrintProbe() {}

    public static void main(String[] arguments) {
      System.out.println(CudaDriver.probe());
    }
  }

  @Test
  void missingDriverIsAReasonAndNoCrash() throws Exception {
    assumeFalse(hasSystemDriver(), "libcuda.so.1 is installed here");
    assertThat(probeInItsOwnJvm("0"))
        .contains("usable=false", "reason=libcuda.so.1 is not installed", "emulated=false");
  }

  @Test
  void emulatedGpuIsFoundWithoutAnySearchPath() throws Exception {
    assertThat(probeInItsOwnJvm("1"))
        .contains("usable=true", "deviceName=Lathe emulated GPU", "emulated=true");
  }

  @Test
  void emulatedGpuHasAsMuchMemoryAsItIsTold() throws Exception {
    String variable = "LATHE_EMULATOR_MEMORY";
    assertThat(probeInItsOwnJvm("1", Map.of(variable, "96M")))
        .contains("memoryBytes=" + (96 << 20) + ",");
    assertThat(probeInItsOwnJvm("1")).contains("memoryBytes=" + (16L << 30) + ",");
  }

  @Test
  void wrongWishIsRefused() {
    assertThatThrownBy(() -> CudaDriver.Kind.of("yes please"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("it has to be 0, 1 (checked) or fast");
  }

  /** A function that libcuda.so.1 lacks would end the JVM when JCuda first calls it. */
  @Test
  void emulatorHasEveryFunctionThatJCudaLinksAgainst() throws IOException {
    SymbolLookup emulator =
        SymbolLookup.libraryLookup(
            NativeLibraries.locate("emulator", "emulator/libcuda.so.1"), Arena.global());
    List<String> wanted =
        ElfSymbols.undefined("/lib/libJCudaDriver-12.6.0-linux-x86_64.so", "cu[A-Z].*");
    assertThat(wanted).hasSizeGreaterThan(300);
    assertThat(wanted).allSatisfy(name -> assertThat(emulator.find(name)).as(name).isPresent());
    assertThat(emulator.find("cuNoSuchFunction")).isEmpty();
  }

  private static boolean hasSystemDriver() {
    try {
      // Not libraryLookup: this process may have loaded the emulator's library by that name.
      Process process = new ProcessBuilder("ldconfig", "-p").redirectErrorStream(true).start();
      return new String(process.getInputStream().readAllBytes(), UTF_8).contains("libcuda.so.1");
    } catch (IOException e) {
      return false;
    }
  }

  private static String probeInItsOwnJvm(String emulate) throws IOException, InterruptedException {
    return probeInItsOwnJvm(emulate, Map.of());
  }

  private static String probeInItsOwnJvm(String emulate, Map<String, String> environment)
      throws IOException, InterruptedException {
    List<String> command =
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-Dlathe.emulateCuda=" + emulate,
            "-cp",
            System.getProperty("java.class.path"),
            PrintProbe.class.getName());
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().putAll(environment);
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    return output;
  }
}
