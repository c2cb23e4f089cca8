package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Caches;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Conversion;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.RandomModels;
import dev.lathe.tensor.DType;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** kv8: the weights stay, the model says so, and it is what is computed from then on. */
final class QuantizeKeysAndValuesTest {
  private static final QuantizeKeysAndValues KV8 = new QuantizeKeysAndValues();

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(RandomModels.class)
  void theWeightsStayAndKeysAndValuesAreRounded(RandomModels kind) {
    try (Checkpoint plain = write(kind);
        Checkpoint kv8 = apply(KV8, plain, "kv8")) {
      assertThat(kv8.cacheType()).contains(DType.I8);
      assertThat(kv8.tensors()).isEqualTo(plain.tensors());
      for (String name : plain.tensors().keySet()) {
        assertThat(kv8.tensor(name).memory().mismatch(plain.tensor(name).memory())).isEqualTo(-1);
      }
      assertThat(kv8.config().has("quantization_config")).isFalse();
      float[] exact = RandomCheckpoints.logits(plain);
      float[] rounded = RandomCheckpoints.logits(kv8);
      assertThat(rounded).isNotEqualTo(exact);
      assertThat(RandomCheckpoints.cosine(exact, rounded)).isGreaterThan(0.999);
    }
  }

  @Test
  void resultAndLineageSaySo() {
    try (Checkpoint plain = write(RandomModels.LLAMA_BIASED)) {
      CompressionResult result = KV8.apply(plain, folder.resolve("kv8"), Progress.SILENT);
      assertThat(result.layers()).isEmpty();
      assertThat(result.bytes()).isEqualTo(plain.fileBytes());
      try (Checkpoint kv8 = Checkpoints.open(folder.resolve("kv8"))) {
        assertThat(kv8.lineage().steps().getLast().technique())
            .isEqualTo("quantize kv8 rtn per-token-and-head symmetric");
        assertThat(kv8.lineage().steps().getLast().parentHash()).isEqualTo(plain.hash());
        assertThat(kv8.hash()).isNotEqualTo(plain.hash());
      }
    }
  }

  @Test
  void itStaysWhateverBecomesOfTheWeights() {
    List<Technique> others =
        List.of(
            new QuantizeInt8(true),
            new QuantizeInt8(false),
            QuantizeInt8.withActivations(),
            new MagnitudePrune(0.6, Scope.LAYER));
    try (Checkpoint plain = write(RandomModels.LLAMA_BIASED);
        Checkpoint kv8 = apply(KV8, plain, "kv8")) {
      for (int i = 0; i < others.size(); i++) {
        // In either order the model is the same, and says the same.
        try (Checkpoint after = apply(others.get(i), kv8, "after" + i);
            Checkpoint first = apply(others.get(i), plain, "first" + i);
            Checkpoint then = apply(KV8, first, "then" + i)) {
          assertThat(after.cacheType()).contains(DType.I8);
          assertThat(then.config()).isEqualTo(after.config());
          assertThat(then.tensors()).isEqualTo(first.tensors());
          assertThat(first.cacheType()).isEmpty();
        }
      }
      // What a training on floats ends with.
      try (Checkpoint int8 = apply(new QuantizeInt8(true), kv8, "int8");
          Checkpoint restored = apply(new RestoreInt8(int8), kv8, "restored")) {
        assertThat(restored.cacheType()).contains(DType.I8);
      }
      Conversion.toSafetensors(
          kv8, folder.resolve("copy"), Optional.of(Conversion.Type.BF16), "test", _ -> {});
      try (Checkpoint copy = Checkpoints.open(folder.resolve("copy"))) {
        assertThat(copy.cacheType()).contains(DType.I8);
      }
      Conversion.Result gguf =
          Conversion.toGguf(kv8, folder.resolve("a.gguf"), Optional.empty(), "test", _ -> {});
      assertThat(gguf.notes()).anyMatch(note -> note.contains("keys and values are INT8"));
    }
  }

  @Test
  void twiceAndWhereItCannotRunItIsRefused() {
    try (Backend reference = new ReferenceBackend();
        Checkpoint plain = write(RandomModels.LLAMA_BIASED);
        Checkpoint kv8 = apply(KV8, plain, "kv8")) {
      assertThat(KV8.refusal(plain)).isEmpty();
      assertThat(KV8.refusal(plain, reference)).isEmpty();
      assertThat(KV8.refusal(plain, Caches.only(reference, DType.F32, DType.BF16)))
          .contains("the reference backend keeps keys and values as f32, bf16, not as int8");
      assertThat(KV8.refusal(kv8, reference))
          .contains("the model asks for keys and values as int8 already");
      assertThatThrownBy(() -> KV8.apply(kv8, folder.resolve("again"), Progress.SILENT))
          .isInstanceOf(InvalidInputException.class)
          .hasMessage("%s: the model asks for keys and values as int8 already", kv8.path());
      assertThat(folder.resolve("again")).doesNotExist();
      // Of the others a backend asks nothing.
      assertThat(new QuantizeInt8(true).refusal(plain, Caches.only(reference, DType.F32)))
          .isEmpty();
    }
  }

  private Checkpoint apply(Technique technique, Checkpoint in, String name) {
    return Checkpoints.open(technique.apply(in, folder.resolve(name), Progress.SILENT).folder());
  }

  private Checkpoint write(RandomModels kind) {
    RandomCheckpoints.write(kind, folder.resolve("plain"));
    return Checkpoints.open(folder.resolve("plain"));
  }
}
