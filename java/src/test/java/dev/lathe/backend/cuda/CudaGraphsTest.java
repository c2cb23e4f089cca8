package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceTimer;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.model.Batch;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Steps that are replayed as CUDA graphs give what the same calls give one by one. */
@Tag("cuda")
class CudaGraphsTest {
  private static final int PAGE_SIZE = 4;
  private static final int PAGES = 64;

  /**
   * Two sequences, the second of which joins later; the first grows until its block table needs
   * another bucket. The last logits of every step.
   */
  private static List<float[]> run(Backend backend, TinyModel model, int steps) {
    List<float[]> all = new ArrayList<>();
    try (Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache(PAGES, PAGE_SIZE);
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Tensor logits = memory.tensor(DType.F32, 2, TinyModel.VOCABULARY);
      List<KvSequence> sequences = new ArrayList<>();
      int[] next = {7, 11};
      for (int step = 0; step < steps; step++) {
        Batch batch = new Batch();
        if (step == 0) {
          sequences.add(cache.newSequence());
          batch.add(sequences.getFirst(), new int[] {1, 2, 3}, Batch.Logits.LAST);
        } else {
          batch.add(sequences.getFirst(), new int[] {next[0]}, Batch.Logits.LAST);
        }
        if (step == 20) {
          sequences.add(cache.newSequence());
          batch.add(sequences.getLast(), new int[] {9, 8, 7, 6, 5}, Batch.Logits.LAST);
        } else if (step > 20) {
          batch.add(sequences.getLast(), new int[] {next[1]}, Batch.Logits.LAST);
        }
        int rows = batch.logitRowCount();
        decoder.forward(batch, cache, logits.rows(0, rows));
        MemorySegment host = arena.allocate(4L * rows * TinyModel.VOCABULARY, 4);
        backend.download(logits.rows(0, rows), host);
        float[] values = host.toArray(ValueLayout.JAVA_FLOAT);
        all.add(values);
        for (int row = 0; row < rows; row++) {
          next[row] = argmax(values, row);
        }
      }
      sequences.forEach(KvSequence::close);
    }
    return all;
  }

  private static int argmax(float[] logits, int row) {
    int best = 0;
    for (int i = 0; i < TinyModel.VOCABULARY; i++) {
      if (logits[row * TinyModel.VOCABULARY + i] > logits[row * TinyModel.VOCABULARY + best]) {
        best = i;
      }
    }
    return best;
  }

  @Test
  void replayedStepsEqualDirectOnes() {
    int steps = 68;
    List<float[]> direct;
    List<float[]> replayed;
    try (TinyModel model = new TinyModel(3);
        CudaBackend plain = CudaBackend.open(CudaOptions.ALL.withoutGraphs())) {
      direct = run(plain, model, steps);
      assertThat(plain.graphs().captures()).isZero();
    }
    try (TinyModel model = new TinyModel(3);
        CudaBackend graphs = CudaBackend.open(CudaOptions.ALL)) {
      replayed = run(graphs, model, steps);
      // One sequence; two with 16 pages of room; two with 32: each ran once, was captured, and is
      // replayed from then on. The prompts are neither.
      assertThat(graphs.graphs().captures()).isEqualTo(3);
      assertThat(graphs.graphs().replays()).isEqualTo(steps - 2 - 2 * 3);
    }
    for (int step = 0; step < steps; step++) {
      assertThat(replayed.get(step)).as("step %d", step).containsExactly(direct.get(step));
    }
  }

  private static List<Integer> referenceTokens(ActivationFormat activations, int steps) {
    try (TinyModel model = new TinyModel(3).quantized(activations);
        Backend reference = new ReferenceBackend()) {
      return tokens(run(reference, model, steps));
    }
  }

  private static List<Integer> tokens(List<float[]> logits) {
    List<Integer> tokens = new ArrayList<>();
    for (float[] rows : logits) {
      for (int row = 0; row < rows.length / TinyModel.VOCABULARY; row++) {
        tokens.add(argmax(rows, row));
      }
    }
    return tokens;
  }

  /**
   * Replayed W8A8: the reference's tokens, which with activations as they are come out otherwise.
   * (The native kernels keep keys and values of a quantized model in BF16, with which these random
   * logits come out otherwise too.)
   */
  @Test
  void w8a8GeneratesTheReferencesTokens() {
    int steps = 60;
    try (TinyModel model = new TinyModel(3).quantized(ActivationFormat.INT8);
        CudaBackend graphs = CudaBackend.open(CudaOptions.ALL)) {
      List<Integer> tokens = tokens(run(graphs, model, steps));
      assertThat(graphs.graphs().replays()).isGreaterThan(steps / 2);
      assertThat(tokens).isEqualTo(referenceTokens(ActivationFormat.INT8, steps));
      assertThat(tokens).isNotEqualTo(referenceTokens(ActivationFormat.FLOAT, steps));
    }
  }

  @Test
  void anotherCacheIsCapturedAgainAndTheSamePlaceIsNot() {
    try (TinyModel model = new TinyModel(3);
        CudaBackend backend = CudaBackend.open(CudaOptions.ALL)) {
      List<float[]> first = run(backend, model, 6);
      long captures = backend.graphs().captures();
      List<float[]> second = run(backend, model, 6); // another decoder: nothing is the same
      assertThat(backend.graphs().captures()).isEqualTo(2 * captures);
      for (int step = 0; step < first.size(); step++) {
        assertThat(second.get(step)).containsExactly(first.get(step));
      }
    }
  }

  /** Sums of parts lie in a workspace that a graph keeps, and that a larger product replaces. */
  @Test
  void productsWithDividedColumnsAreReplayed() {
    try (CudaBackend backend = CudaBackend.open(CudaOptions.ALL);
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      int cols = 2048;
      Tensor w = memory.tensor(DType.BF16, 64, cols);
      Tensor x = memory.tensor(DType.F32, 12, cols);
      Tensor out = memory.tensor(DType.F32, 12, 64);
      Tensor large = memory.tensor(DType.F32, 16, 64);
      Tensor largeX = memory.tensor(DType.F32, 16, cols);
      MemorySegment ones = arena.allocate(w.bytes(), 2);
      for (long i = 0; i < w.elements(); i++) {
        ones.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) 0x3f80);
      }
      backend.upload(ones, w);
      Linear layer = Linear.of(new Weight.Dense(w));
      MemorySegment values = arena.allocate(x.bytes(), 4);
      MemorySegment result = arena.allocate(out.bytes(), 4);
      for (int step = 1; step <= 8; step++) {
        for (long i = 0; i < x.elements(); i++) {
          values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (step * (i / cols + 1)));
        }
        backend.upload(values, x);
        backend.replayable("product", () -> backend.linear(out, x, layer, Epilogue.STORE));
        if (step == 4) {
          backend.linear(large, largeX, layer, Epilogue.STORE); // the workspace moves
        }
        backend.download(out, result);
        for (int i = 0; i < 12 * 64; i++) {
          assertThat(result.getAtIndex(ValueLayout.JAVA_FLOAT, i))
              .as("step %d, element %d", step, i)
              .isEqualTo(step * (i / 64 + 1) * cols);
        }
      }
      // Captured in steps 2 and, since the first graph was forgotten, 6; replayed in 3, 4, 7, 8.
      assertThat(backend.graphs().captures()).isEqualTo(2);
      assertThat(backend.graphs().replays()).isEqualTo(4);
    }
  }

  @Test
  void whatCannotBeReplayedIsRefusedAndTheBackendGoesOn() {
    try (CudaBackend backend = CudaBackend.open(CudaOptions.ALL);
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Tensor x = memory.tensor(DType.F32, 2, 8);
      MemorySegment host = arena.allocate(x.bytes(), 4);
      host.setAtIndex(ValueLayout.JAVA_FLOAT, 0, 3);
      Runnable uploads = () -> backend.upload(host, x);
      backend.replayable("uploads", uploads); // the first time it just runs
      assertThatThrownBy(() -> backend.replayable("uploads", uploads))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("an upload within operations that are to be replayed");
      backend.replayable("waits", backend::synchronize);
      assertThatThrownBy(() -> backend.replayable("waits", backend::synchronize))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("waiting for the device within operations");
      try (DeviceTimer timer = backend.newTimer().orElseThrow()) {
        Runnable times =
            () -> {
              timer.start();
              timer.stopNanos();
            };
        backend.replayable("times", times);
        assertThatThrownBy(() -> backend.replayable("times", times))
            .isInstanceOf(IllegalStateException.class)
            .hasMessageContaining("timing within operations");
      }
      Runnable doubles = () -> backend.scale(x, 2);
      for (int i = 0; i < 3; i++) {
        backend.replayable("doubles", doubles);
      }
      backend.download(x, host);
      assertThat(host.getAtIndex(ValueLayout.JAVA_FLOAT, 0)).isEqualTo(24);
      assertThat(backend.graphs().captures()).isEqualTo(1);
      assertThat(backend.graphs().replays()).isEqualTo(1);
    }
  }

  /** A capture forbids both; the driver's own answer would not say who asked for it. */
  @Test
  void waitingAndTimingInACaptureAreRefusedByName() {
    try (CudaBackend backend = CudaBackend.open(CudaOptions.ALL);
        DeviceTimer timer = backend.newTimer().orElseThrow();
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor x = memory.tensor(DType.F32, 2, 8);
      assertRefused(backend, "waits", backend::synchronize, "waiting for the device");
      assertRefused(backend, "starts", timer::start, "timing");
      timer.start(); // outside of a capture: as ever
      assertRefused(backend, "stops", timer::stopNanos, "timing");
      backend.scale(x, 2);
      assertThat(timer.stopNanos()).isNotNegative();
      backend.synchronize();
    }
  }

  private static void assertRefused(CudaBackend backend, String key, Runnable call, String what) {
    // The first time it just runs, in no capture; the clock then has a start to be stopped at.
    backend.replayable(key, call);
    assertThatThrownBy(() -> backend.replayable(key, call))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage(what + " within operations that are to be replayed");
  }
}
