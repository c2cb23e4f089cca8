package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Caches;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who decides what keys and values are kept as, and that logits come through them. */
class CacheTypesTest {
  private static final int[] TOKENS = DecoderTest.tokens(40, 7);

  @TempDir private Path folder;
  private final ReferenceBackend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    backend.close();
  }

  private Checkpoint model(boolean int8Cache) {
    Path out = folder.resolve("int8 " + int8Cache);
    try (TinyModel model = new TinyModel(1)) {
      CheckpointWriter writer = CheckpointWriter.create(out).config(model.config());
      for (Map.Entry<String, TensorInfo> entry : model.tensors().entrySet()) {
        writer.group(List.of(entry.getValue()), () -> List.of(model.tensor(entry.getKey())));
      }
      if (int8Cache) {
        writer.int8Cache();
      }
      writer.write(_ -> {});
    }
    return Checkpoints.open(out);
  }

  @Test
  void theUserDecidesElseTheModelElseTheBackend() {
    try (Checkpoint plain = model(false);
        Checkpoint int8 = model(true)) {
      assertThat(plain.cacheType()).isEmpty();
      assertThat(int8.cacheType()).contains(DType.I8);
      assertThat(type(plain, backend, Optional.empty())).isEqualTo(DType.F32);
      assertThat(type(int8, backend, Optional.empty())).isEqualTo(DType.I8);
      assertThat(type(plain, backend, Optional.of(DType.I8))).isEqualTo(DType.I8);
      assertThat(type(int8, backend, Optional.of(DType.F16))).isEqualTo(DType.F16);
    }
  }

  private static DType type(Checkpoint model, Backend backend, Optional<DType> asked) {
    try (Decoder decoder = Decoder.load(model, backend, asked);
        Decoder view = decoder.over(backend);
        KvCache cache = view.newCache(1, 16)) {
      assertThat(view.cacheType()).isEqualTo(decoder.cacheType());
      return cache.layer(0).type();
    }
  }

  @Test
  void whatTheBackendLacksIsRefusedAndNeverReplaced() {
    Backend floats = Caches.only(backend, DType.F32, DType.BF16);
    try (Checkpoint plain = model(false);
        Checkpoint int8 = model(true)) {
      assertThatThrownBy(() -> Decoder.load(int8, floats))
          .isInstanceOf(InvalidInputException.class)
          .hasMessage(
              "%s: config.json asks for keys and values as int8 (lathe.kv_cache): the reference backend keeps keys and values as f32, bf16, not as int8; --kv-cache-type of generate, eval and profile chooses one of these",
              int8.path());
      assertThatThrownBy(() -> Decoder.load(plain, floats, Optional.of(DType.F16)))
          .isInstanceOf(InvalidInputException.class)
          .hasMessage("the reference backend keeps keys and values as f32, bf16, not as f16");
      // Which is what the user may choose instead.
      try (Decoder decoder = Decoder.load(int8, floats, Optional.of(DType.F32))) {
        assertThat(decoder.cacheType()).isEqualTo(DType.F32);
        assertThatThrownBy(() -> decoder.newCache(1, 16, DType.I8))
            .isInstanceOf(IllegalArgumentException.class);
      }
    }
  }

  /**
   * A prompt's attention reads what was kept of its tokens, not what they were before: else a
   * prompt, a text that is scored, and generation without a KV-cache would compute something else
   * than decoding token by token does, and a quality would say nothing of the cache.
   */
  @Test
  void aWholePromptGoesThroughTheCacheAsSingleTokensDo() {
    try (Checkpoint int8 = model(true);
        Decoder decoder = Decoder.load(int8, backend);
        Decoder exact = Decoder.load(int8, backend, Optional.of(DType.F32))) {
      double[][] whole = score(decoder);
      double[][] single = tokenByToken(decoder);
      double[][] unrounded = score(exact);
      double apart = 0;
      for (int t = 0; t < TOKENS.length; t++) {
        for (int i = 0; i < TinyModel.VOCABULARY; i++) {
          assertThat(whole[t][i])
              .as("token %d, logit %d", t, i)
              .isCloseTo(single[t][i], within(1e-5));
          apart = Math.max(apart, Math.abs(whole[t][i] - unrounded[t][i]));
        }
      }
      // The canary: rows that had not been rounded would be seen.
      assertThat(apart).isGreaterThan(1e-3);
    }
  }

  private static double[][] score(Decoder decoder) {
    double[][] all = new double[TOKENS.length][];
    Scoring.score(
        decoder,
        List.of(TOKENS),
        (_, first, logits) -> {
          for (int r = 0; r < logits.size(0); r++) {
            all[first + r] = row(logits, r);
          }
        });
    return all;
  }

  private static double[][] tokenByToken(Decoder decoder) {
    double[][] all = new double[TOKENS.length][];
    try (KvCache cache = decoder.newCache(10, 4);
        KvSequence sequence = cache.newSequence();
        Arena arena = Arena.ofConfined()) {
      Tensor logits =
          Tensor.of(arena.allocate(4L * TinyModel.VOCABULARY), DType.F32, 1, TinyModel.VOCABULARY);
      for (int i = 0; i < TOKENS.length; i++) {
        decoder.forward(
            new Batch().add(sequence, TOKENS, i, i + 1, Batch.Logits.LAST), cache, logits);
        all[i] = row(logits, 0);
      }
    }
    return all;
  }

  private static double[] row(Tensor matrix, long index) {
    double[] row = new double[TinyModel.VOCABULARY];
    for (int i = 0; i < row.length; i++) {
      row[i] = Floats.get(matrix.memory(), DType.F32, index * row.length + i);
    }
    return row;
  }
}
