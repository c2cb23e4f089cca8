package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.NativeLibraries;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The forwarding libcublas.so.12, in processes that have what a machine with CUDA 13 has: a driver,
 * which is the emulated GPU's, and a libcublas.so.13, which is its cuBLAS under that name. The
 * forwarder takes both for the real ones.
 */
class ForwardingCublasTest {
  private static final String FORWARDER = "cublas/libcublas.so.12";
  private static final String STAND_IN = "emulator/libcublas.so.12";
  private static final String FEW = "emulator/test/libcublas.so.13";

  @TempDir private Path folder;

  /** Loads the emulated GPU's driver as if it were the system's, and multiplies 2 by 3. */
  static final class Multiply {
    private Multiply() {}

    public static void main(String[] arguments) {
      SymbolLookup.libraryLookup(
          NativeLibraries.locate("emulator", "emulator/libcuda.so.1"), Arena.global());
      System.out.println("unusable: " + CublasLibrary.whyUnusable());
      System.out.println("library: " + CublasLibrary.description());
      if (CublasLibrary.whyUnusable().isPresent()) {
        return;
      }
      try (TestDevice device = new TestDevice()) {
        cublasHandle handle = new cublasHandle();
        TestDevice.check(JCublas2.cublasCreate(handle));
        CUdeviceptr two = device.upload(new float[] {2});
        CUdeviceptr three = device.upload(new float[] {3});
        CUdeviceptr out = device.allocate(4);
        Pointer one = Pointer.to(new float[] {1});
        Pointer zero = Pointer.to(new float[] {0});
        TestDevice.check(
            JCublas2.cublasSgemm(handle, 0, 0, 1, 1, 1, one, two, 1, three, 1, zero, out, 1));
        System.out.println("product: " + device.downloadFloats(out, 1)[0]);
        TestDevice.check(JCublas2.cublasDestroy(handle));
      }
    }
  }

  /** Calls what the cuBLAS with few functions has, and what it lacks. */
  static final class CallFew {
    private CallFew() {}

    public static void main(String[] arguments) {
      System.out.println("library: " + CublasLibrary.description());
      cublasHandle handle = new cublasHandle();
      JCublas2.cublasCreate(handle);
      Pointer alpha = Pointer.to(new float[] {6});
      Pointer beta = Pointer.to(new float[] {11});
      System.out.println(
          "all arguments: "
              + JCublas2.cublasSgemm(
                  handle, 1, 2, 3, 4, 5, alpha, at(7), 8, at(9), 10, beta, at(12), 13));
      System.out.println("lacking: " + JCublas2.cublasSetMathMode(handle, 0));
      System.out.println("again: " + JCublas2.cublasSetMathMode(handle, 0));
      System.out.println("text: " + JCublas2.cublasGetStatusString(0));
    }

    /** A device address, which nobody follows. */
    private static Pointer at(long address) {
      return new CUdeviceptr().withByteOffset(address);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "libcublas.so.13",
        "lib64/libcublas.so.12",
        "nvidia/cu13/lib/libcublas.so.13",
        "nvidia/cublas/lib/libcublas.so.12"
      })
  void cublasIsFoundBelowTheFolderThatIsNamed(String place) throws Exception {
    Path library = copy(STAND_IN, place);
    assertThat(run(Multiply.class, Map.of("LATHE_CUBLAS", folder.toString())))
        .contains("unusable: Optional.empty", ", " + library, "product: 6.0");
    assertThat(run(Multiply.class, Map.of("LATHE_CUBLAS", library.toString())))
        .contains("product: 6.0");
  }

  /** A forwarder that lies where cuBLAS is looked for would forward to itself. */
  @Test
  void anotherForwarderIsPassedOver() throws Exception {
    copy(FORWARDER, "libcublas.so.12");
    Path library = copy(STAND_IN, "libcublas.so.13");
    assertThat(run(Multiply.class, Map.of("LD_LIBRARY_PATH", folder.toString())))
        .contains(", " + library, "product: 6.0");
  }

  @Test
  void absentCublasIsAReasonAndNoCrash() throws Exception {
    String nowhere = folder.resolve("nowhere").toString();
    assertThat(run(Multiply.class, Map.of("LATHE_CUBLAS", nowhere)))
        .contains("unusable: Optional[no cuBLAS at " + nowhere + ", which LATHE_CUBLAS names")
        .doesNotContain("product");
    copy(FORWARDER, "libcublas.so.12");
    assertThat(run(Multiply.class, Map.of("LATHE_CUBLAS", folder.toString())))
        .contains("it forwards, too");
  }

  @Test
  void argumentsComeThroughAndWhatIsLackingIsNamedOnce() throws Exception {
    Path library = copy(FEW, "libcublas.so.13");
    String lacking = "lathe: cublasSetMathMode is not supported: " + library + " lacks it\n";
    assertThat(run(CallFew.class, Map.of("LATHE_CUBLAS", folder.toString())))
        .contains(
            "library: cuBLAS 13.1.2, " + library,
            "all arguments: 0\n",
            "lacking: 15\n",
            "again: 15\n",
            "text: cuBLAS without this function\n")
        .containsOnlyOnce(lacking);
  }

  /** One that is missing would end the JVM when JCublas first calls it. */
  @ParameterizedTest
  @ValueSource(strings = {FORWARDER, STAND_IN})
  void everyFunctionThatJCublasLinksAgainstIsThere(String library) throws IOException {
    SymbolLookup symbols =
        SymbolLookup.libraryLookup(
            NativeLibraries.locate(library.startsWith("cublas") ? "cublas" : "emulator", library),
            Arena.global());
    List<String> wanted =
        new ArrayList<>(
            ElfSymbols.undefined("/lib/libJCublas2-12.6.0-linux-x86_64.so", "cublas.*"));
    wanted.addAll(ElfSymbols.undefined("/lib/libJCublas-12.6.0-linux-x86_64.so", "cublas.*"));
    assertThat(wanted).hasSizeGreaterThan(640);
    assertThat(wanted).allSatisfy(name -> assertThat(symbols.find(name)).as(name).isPresent());
    assertThat(symbols.find("cublasNoSuchFunction")).isEmpty();
  }

  private Path copy(String resource, String place) throws IOException {
    Path target = folder.resolve(place);
    Files.createDirectories(target.getParent());
    return Files.copy(NativeLibraries.locate("emulator", resource), target);
  }

  private static String run(Class<?> main, Map<String, String> environment)
      throws IOException, InterruptedException {
    ProcessBuilder builder =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-Dlathe.emulateCuda=0",
            "-cp",
            System.getProperty("java.class.path"),
            main.getName());
    builder.environment().remove("LATHE_CUBLAS");
    builder.environment().putAll(environment);
    Process process = builder.redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    return output;
  }
}
