package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.SharedFiles;
import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DrawParameters;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cuda.CudaBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.model.Decoder;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A device draws the tokens of {@link Sampler}, and the engine reads back nothing else. */
@Tag("cuda")
class DeviceSamplingTest {
  private static final int STEPS = 24;

  private static final List<Sampling> SAMPLINGS =
      List.of(
          Sampling.GREEDY,
          new Sampling(0.8, 0, 1, 11),
          new Sampling(1.3, 20, 1, 12),
          new Sampling(1, 0, 0.8, 13),
          new Sampling(0.9, 0, 1, 0.05, 1, 14),
          new Sampling(0, 0, 1, 0, 3, 15),
          new Sampling(1.1, 50, 0.95, 0.01, 1.2, -16));

  /** The same logits for both, so that tokens are equal one by one, draw after draw. */
  @Test
  void tokensAreThoseOfTheSampler() {
    int vocabulary = 700;
    int rows = SAMPLINGS.size();
    SplittableRandom random = new SplittableRandom(3);
    List<Sampler> samplers = SAMPLINGS.stream().map(Sampler::new).toList();
    int[][] contexts = new int[rows][STEPS];
    try (Backend backend = CudaBackend.open();
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Tensor logits = memory.tensor(DType.F32, rows, vocabulary);
      Tensor out = memory.tensor(DType.I32, rows);
      MemorySegment host = arena.allocate(logits.bytes(), 64);
      MemorySegment tokens = arena.allocate(out.bytes(), 64);
      for (int step = 0; step < STEPS; step++) {
        int length = step;
        List<DrawParameters> draws = new ArrayList<>();
        int[] expected = new int[rows];
        for (int r = 0; r < rows; r++) {
          float[] row = new float[vocabulary];
          for (int c = 0; c < vocabulary; c++) {
            // Few and often equal in every other step: ties.
            row[c] =
                step % 2 == 0 ? (float) (3 * random.nextGaussian()) : random.nextInt(-9, 9) / 3f;
          }
          MemorySegment.copy(row, 0, host, ValueLayout.JAVA_FLOAT, 4L * r * vocabulary, vocabulary);
          draws.add(SAMPLINGS.get(r).draw(step));
          expected[r] = samplers.get(r).draw(row, contexts[r], length);
        }
        backend.upload(host, logits);
        backend.sample(
            out,
            logits,
            draws,
            Arrays.stream(contexts).map(c -> Arrays.copyOf(c, length)).toList());
        backend.download(out, tokens);
        assertThat(tokens.toArray(ValueLayout.JAVA_INT)).as("step %d", step).isEqualTo(expected);
        for (int r = 0; r < rows; r++) {
          contexts[r][step] = expected[r];
        }
      }
    }
  }

  @Test
  void engineGivesTheTokensOfTheCpu() {
    List<int[]> expected;
    try (Backend cpu = CpuBackend.open(2)) {
      expected = generate(cpu, -1);
    }
    assertThat(expected).doesNotHaveDuplicates();
    try (Backend cuda = CudaBackend.open()) {
      assertThat(generate(cuda, -1)).containsExactlyElementsOf(expected);
      // Then the host draws, from logits that were read back.
      assertThat(generate(cuda, 0)).containsExactlyElementsOf(expected);
    }
  }

  /** After its first token, which shows that the model computes numbers, 4 bytes a token. */
  @Test
  void logitsAreNotReadBack() {
    try (Backend cuda = CudaBackend.open()) {
      Downloads counted = new Downloads(cuda);
      generate(counted.backend, -1);
      long rows = SAMPLINGS.size();
      assertThat(counted.bytes).isEqualTo(rows * 4 * 512 + rows * 4 * STEPS);
      counted.bytes = 0;
      generate(counted.backend, 0);
      assertThat(counted.bytes).isEqualTo(rows * 4 * 512 * STEPS);
    }
  }

  /** All of {@link #SAMPLINGS} in one batch, from the beginning of a story. */
  private static List<int[]> generate(Backend backend, int logprobs) {
    List<GenerationRequest> requests =
        SAMPLINGS.stream()
            .map(s -> new GenerationRequest(new int[] {1}, STEPS, s, List.of(), true, logprobs))
            .toList();
    try (Checkpoint checkpoint = Checkpoints.open(SharedFiles.require("models/stories260k"));
        Decoder decoder = Decoder.load(checkpoint, backend);
        Engine engine = new Engine(decoder, new ByteTokenizer(), requests.size(), Cache.KV)) {
      assertThat(decoder.config().vocabulary()).isEqualTo(512);
      return engine.generate(requests).stream().map(Generation::tokens).toList();
    }
  }

  /** Counts what comes back from a backend. */
  private static final class Downloads {
    final Backend backend;
    long bytes;

    Downloads(Backend to) {
      backend =
          (Backend)
              Proxy.newProxyInstance(
                  Backend.class.getClassLoader(),
                  new Class<?>[] {Backend.class},
                  (_, method, arguments) -> {
                    if (method.getName().equals("download")) {
                      bytes += ((MemorySegment) arguments[1]).byteSize();
                    }
                    try {
                      return method.invoke(to, arguments);
                    } catch (InvocationTargetException e) {
                      throw e.getCause();
                    }
                  });
    }
  }
}
