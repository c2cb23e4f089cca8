package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** That nothing goes past the listener, and that nobody listening costs nothing. */
class LaunchListenerTest {
  /** Puts something on the stream, or may wait for it. */
  private static final Pattern CALL =
      Pattern.compile(
          "\\b(cuLaunchKernel|cuGraphLaunch|cuMemcpy\\w+|cuMemset\\w+|cuStreamSynchronize"
              + "|cuCtxSynchronize|cuEventSynchronize|cuMemAlloc|cuMemFree|cuModuleLoadData"
              + "|cublasGemm\\w+)\\(");

  /** How far above a call the listener is told. */
  private static final int LINES = 6;

  /** Calls by file that need not tell: before anything runs, or of the recorder itself. */
  private static final Map<String, Integer> OTHERS =
      Map.of(
          "CublasGemm.java", 2, // its workspace, when the backend opens and closes
          "CudaRecorder.java", 2); // the recorder's own events

  @Test
  void everyLaunchCopyAndWaitTellsTheListener() throws IOException {
    Path sources =
        Path.of(System.getProperty("lathe.root"), "java/src/main/java/dev/lathe/backend/cuda");
    List<String> silent = new ArrayList<>();
    int calls = 0;
    try (Stream<Path> files = Files.list(sources)) {
      for (Path file : files.sorted().toList()) {
        String name = file.getFileName().toString();
        List<String> lines = Files.readAllLines(file);
        calls += calls(lines).size();
        List<String> found = silent(lines);
        if (found.size() != OTHERS.getOrDefault(name, 0)) {
          found.forEach(call -> silent.add(name + ": " + call));
        }
      }
    }
    assertThat(silent).isEmpty();
    assertThat(calls).isGreaterThanOrEqualTo(13);
  }

  @Test
  void canaryACallThatTellsNobodyIsSeen() {
    List<String> told =
        List.of("listener.before(x);", "context.check(", "    JCudaDriver.cuGraphLaunch(g, s),");
    assertThat(silent(told)).isEmpty();
    assertThat(silent(told.subList(1, 3))).containsExactly("line 2 calls cuGraphLaunch");
  }

  private static List<String> calls(List<String> lines) {
    List<String> calls = new ArrayList<>();
    for (int i = 0; i < lines.size(); i++) {
      Matcher match = CALL.matcher(lines.get(i));
      if (match.find()) {
        calls.add("line %d calls %s".formatted(i + 1, match.group(1)));
      }
    }
    return calls;
  }

  private static List<String> silent(List<String> lines) {
    List<String> silent = new ArrayList<>();
    for (int i = 0; i < lines.size(); i++) {
      Matcher match = CALL.matcher(lines.get(i));
      boolean told =
          lines.subList(Math.max(0, i - LINES), i + 1).stream()
              .anyMatch(line -> line.contains("listener"));
      if (match.find() && !told) {
        silent.add("line %d calls %s".formatted(i + 1, match.group(1)));
      }
    }
    return silent;
  }

  /** No object a launch, whatever the JIT does. */
  @Test
  @Tag("cuda")
  void launchesThatNobodyRecordsAllocateNothing() {
    int launches = 300;
    try (CudaBackend backend = CudaBackend.open(CudaOptions.ALL.withoutGraphs());
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor x = memory.tensor(DType.F32, 1, 8);
      CudaKernel kernel = backend.kernels().get("activation", "scale");
      ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
      long bytes = Long.MAX_VALUE;
      for (int round = 0; round < 3; round++) { // the first loads classes
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < launches; i++) {
          kernel.pointer(x).f32(1).i64(8).launch(1, 1, 1, 32, 0);
        }
        bytes = Math.min(bytes, threads.getCurrentThreadAllocatedBytes() - before);
        backend.synchronize();
      }
      assertThat(bytes).isLessThan(launches); // less than a byte each, so no object
    }
  }
}
