package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.model.Batch;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Launches of a decode step, each of which costs its start: so that they can't grow unseen. */
@Tag("cuda")
class DecodeLaunchesTest {
  /** Of a layer: norm and qkv; rotation; attention; its output; norm, gate and up; down. */
  private static final int OF_A_LAYER = 6;

  /** Embedding; the rows to look at; norm and head. */
  private static final int OF_A_STEP = 3;

  /** Norms, the gate, and the combination of divided keys by themselves. */
  private static final int MORE_OF_A_LAYER_WITHOUT_FUSION = 4;

  private static final int OF_A_W8A8_LAYER = OF_A_LAYER + 2 + 1 + 4;

  private static final int STEPS = 4;
  private static final int PROMPT = 70;

  /** What a step's launches are, and the logits of several. */
  private record Run(long launches, List<float[]> logits) {}

  private static Run run(CudaOptions options) {
    return run(options, new TinyModel(3));
  }

  private static Run run(CudaOptions options, TinyModel of) {
    return run(options, of, DType.F32);
  }

  /** Closes the model. */
  private static Run run(CudaOptions options, TinyModel of, DType cacheType) {
    List<float[]> logits = new ArrayList<>();
    try (TinyModel model = of;
        CudaBackend backend = CudaBackend.open(options);
        Decoder decoder = Decoder.load(model, backend);
        // Room for 256 tokens, so that the plan divides keys.
        KvCache cache = decoder.newCache(32, 16, cacheType);
        KvSequence sequence = cache.newSequence();
        DeviceMemory memory = backend.allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Tensor device = memory.tensor(DType.F32, 1, TinyModel.VOCABULARY);
      MemorySegment host = arena.allocate(device.bytes(), Float.BYTES);
      int[] prompt = new int[PROMPT];
      for (int i = 0; i < PROMPT; i++) {
        prompt[i] = i % TinyModel.VOCABULARY;
      }
      decoder.forward(new Batch().add(sequence, prompt, Batch.Logits.LAST), cache, device);
      for (int step = 0; step < STEPS; step++) {
        decoder.forward(
            new Batch().add(sequence, new int[] {step}, Batch.Logits.LAST), cache, device);
        backend.download(device, host);
        logits.add(host.toArray(ValueLayout.JAVA_FLOAT));
      }
      assertThat(backend.graphs().captures()).isEqualTo(options.graphs() ? 1 : 0);
      return new Run(backend.graphs().lastNodes(), logits);
    }
  }

  @Test
  void sixOfALayerAndThreeOfAStep() {
    assertThat(run(CudaOptions.ALL).launches())
        .isEqualTo(OF_A_STEP + OF_A_LAYER * TinyModel.LAYERS);
  }

  /**
   * The option that both can be timed with: all operations by themselves, with the same results.
   */
  @Test
  void withoutFusionThereAreMoreWithTheSameBits() {
    Run plain = run(CudaOptions.ALL.withoutFusion());
    Run fused = run(CudaOptions.ALL);
    assertThat(plain.launches())
        .isEqualTo(
            OF_A_STEP
                + 1 // the last norm
                + (OF_A_LAYER + MORE_OF_A_LAYER_WITHOUT_FUSION) * TinyModel.LAYERS);
    for (int step = 0; step < STEPS; step++) {
      assertThat(fused.logits().get(step)).containsExactly(plain.logits().get(step));
    }
  }

  /**
   * W8A8: norm and gate by themselves, because x is quantized behind them, and quantizing before
   * each of the four products. Depths here are too short to be divided, which would be one more
   * each.
   */
  @Test
  void w8a8HasThirteenOfALayerAndReplaysToTheSameBits() {
    Run replayed = run(CudaOptions.ALL, w8a8());
    assertThat(replayed.launches()).isEqualTo(OF_A_STEP + OF_A_W8A8_LAYER * TinyModel.LAYERS);
    Run one = run(CudaOptions.ALL.withoutGraphs(), w8a8());
    for (int step = 0; step < STEPS; step++) {
      assertThat(replayed.logits().get(step)).containsExactly(one.logits().get(step));
    }
  }

  /** Quantizing is a part of the rotation: an INT8 cache costs no launch. */
  @Test
  void anInt8CacheTakesAsManyAndReplaysToTheSameBits() {
    Run replayed = run(CudaOptions.ALL, new TinyModel(3), DType.I8);
    assertThat(replayed.launches()).isEqualTo(OF_A_STEP + OF_A_LAYER * TinyModel.LAYERS);
    Run one = run(CudaOptions.ALL.withoutGraphs(), new TinyModel(3), DType.I8);
    Run inF32 = run(CudaOptions.ALL);
    for (int step = 0; step < STEPS; step++) {
      assertThat(replayed.logits().get(step))
          .containsExactly(one.logits().get(step))
          .isNotEqualTo(inF32.logits().get(step));
    }
  }

  private static TinyModel w8a8() {
    return new TinyModel(3).quantized(ActivationFormat.INT8);
  }
}
