package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.cpu.Nd4jBackend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import tools.jackson.databind.node.ObjectNode;

/** Every architecture on every backend against {@link PlainDecoder}; each wrong variant is seen. */
class ArchitecturesTest {
  /** Of the largest logit of the token: some 100 operations deep in F32, sums of up to 84 terms. */
  private static final double TOLERANCE = 1e-4;

  private static final int[] TOKENS =
      new SplittableRandom(3).ints(61, 0, RandomModels.VOCABULARY).toArray();

  private static final Map<String, Supplier<Backend>> BACKENDS = new LinkedHashMap<>();

  static {
    BACKENDS.put("reference", ReferenceBackend::new);
    BACKENDS.put("native", ArchitecturesTest::nativeKernels);
    BACKENDS.put("nd4j", () -> Nd4jBackend.open(1));
  }

  private static Backend nativeKernels() {
    Assumptions.assumeTrue(
        CpuBackend.whyUnusable().isEmpty(), () -> CpuBackend.whyUnusable().orElseThrow());
    return CpuBackend.open(2);
  }

  @TestFactory
  Stream<DynamicTest> wholeAndTokenByTokenEqualTheIndependentDecoder() {
    return Arrays.stream(RandomModels.values())
        .flatMap(model ->
            BACKENDS.entrySet().stream()
                .map(backend ->
                    dynamicTest(
                        model + " on " + backend.getKey(),
                        () -> check(model, backend.getValue()))));
  }

  static void check(RandomModels kind, Supplier<Backend> open) {
    try (RandomModel model = kind.make();
        Backend backend = open.get();
        Decoder decoder = Decoder.load(model, backend)) {
      double[][] expected = new PlainDecoder(model).logits(TOKENS);
      assertClose(run(decoder, TOKENS.length), expected);
      assertClose(run(decoder, 1), expected);
      assertClose(run(decoder, 13), expected); // chunks of a prompt, ends beside those of pages
    }
  }

  /** A configuration or tensor that is changed after the expectation was computed must be seen. */
  @TestFactory
  Stream<DynamicTest> aWrongVariantIsSeen() {
    Map<String, Consumer<RandomModel>> defects = new LinkedHashMap<>();
    defects.put(
        "LLAMA_BIASED: no query bias", m -> m.fill("model.layers.1.self_attn.q_proj.bias", 0));
    defects.put("LLAMA_BIASED: no down bias", m -> m.fill("model.layers.2.mlp.down_proj.bias", 0));
    defects.put("LLAMA_3_ROPE: no scaling", m -> m.config().remove("rope_scaling"));
    defects.put("LLAMA_3_ROPE: linear", m -> scaling(m).put("rope_type", "linear"));
    defects.put("LLAMA_LINEAR_ROPE: no scaling", m -> m.config().remove("rope_scaling"));
    defects.put("LLAMA_YARN: linear", m -> scaling(m).put("type", "linear"));
    defects.put("LLAMA_YARN: other blend", m -> scaling(m).put("beta_fast", 4));
    defects.put(
        "LLAMA_YARN: other context", m -> scaling(m).put("original_max_position_embeddings", 35));
    defects.put("LLAMA_YARN: magnitude", m -> scaling(m).put("attention_factor", 1));
    defects.put(
        "QWEN2_YARN_FRACTIONS: truncated",
        m -> ((ObjectNode) m.config().get("rope_parameters")).remove("truncate"));
    defects.put(
        "PHI3_LONGROPE: short factors",
        m -> m.config().put("original_max_position_embeddings", 61));
    defects.put("PHI3_LONGROPE: magnitude", m -> scaling(m).put("attention_factor", 1));
    defects.put(
        "PHI3_LONGROPE_SHORT: long factors",
        m -> scaling(m).put("original_max_position_embeddings", 60));
    defects.put("MISTRAL: window off by one", m -> m.config().put("sliding_window", 8));
    defects.put("MISTRAL: no window", m -> m.config().remove("sliding_window"));
    defects.put("QWEN2: no value bias", m -> m.fill("model.layers.0.self_attn.v_proj.bias", 0));
    defects.put("QWEN2: a window that is off", m -> m.config().put("use_sliding_window", true));
    defects.put("QWEN2_TIED_WINDOW: layers", m -> m.config().put("max_window_layers", 2));
    defects.put("QWEN3: no query norm", m -> m.fill("model.layers.1.self_attn.q_norm.weight", 1));
    defects.put("QWEN3: no key norm", m -> m.fill("model.layers.1.self_attn.k_norm.weight", 1));
    defects.put("PHI3: window off by one", m -> m.config().put("sliding_window", 32));
    defects.put("GEMMA2: no cap of scores", m -> m.config().remove("attn_logit_softcapping"));
    defects.put("GEMMA2: no cap of logits", m -> m.config().remove("final_logit_softcapping"));
    defects.put("GEMMA2: scale", m -> m.config().put("query_pre_attn_scalar", 10));
    defects.put("GEMMA2: window off by one", m -> m.config().put("sliding_window", 10));
    defects.put("GEMMA2: erf for tanh", m -> m.config().put("hidden_activation", "gelu"));
    defects.put(
        "GEMMA2: no norm after attention",
        m -> m.fill("model.layers.2.post_attention_layernorm.weight", 0));
    defects.put("GPT2: no positions", m -> m.fill("wpe.weight", 0));
    defects.put("GPT2: no norm bias", m -> m.fill("h.1.ln_2.bias", 0));
    defects.put("GPT2: epsilon", m -> m.config().put("layer_norm_epsilon", 0.01));
    defects.put("GPT2: erf for tanh", m -> m.config().put("activation_function", "gelu"));
    defects.put("GPT2: unscaled scores", m -> m.config().put("scale_attn_weights", false));
    return defects.entrySet().stream()
        .map(
            defect -> dynamicTest(defect.getKey(), () -> seen(defect.getKey(), defect.getValue())));
  }

  private static ObjectNode scaling(RandomModel model) {
    return (ObjectNode) model.config().get("rope_scaling");
  }

  private static void seen(String name, Consumer<RandomModel> defect) {
    RandomModels kind = RandomModels.valueOf(name.substring(0, name.indexOf(':')));
    try (RandomModel model = kind.make();
        Backend backend = new ReferenceBackend()) {
      double[][] expected = new PlainDecoder(model).logits(TOKENS);
      defect.accept(model);
      try (Decoder decoder = Decoder.load(model, backend)) {
        double[][] wrong = run(decoder, TOKENS.length);
        assertThatThrownBy(() -> assertClose(wrong, expected)).isInstanceOf(AssertionError.class);
      }
    }
  }

  @Test
  void aBiasThatTheConfigurationDoesNotKnowIsRefused() {
    try (RandomModel model = RandomModels.LLAMA_BIASED.make();
        Backend backend = new ReferenceBackend()) {
      model.config().put("attention_bias", false);
      assertThatThrownBy(() -> Decoder.load(model, backend))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("self_attn.q_proj.bias is there");
    }
  }

  @Test
  void everythingThatIsResidentIsCounted() {
    for (RandomModels kind : RandomModels.values()) {
      try (RandomModel model = kind.make();
          Backend backend = new ReferenceBackend();
          Decoder decoder = Decoder.load(model, backend)) {
        long masks =
            model.tensors().keySet().stream().filter(name -> name.endsWith(".attn.bias")).count();
        assertThat(decoder.weightBytes()).as("%s", kind).isEqualTo(model.fileBytes() - 64 * masks);
      }
    }
  }

  /** The whole sequence in pieces of so many tokens. */
  private static double[][] run(Decoder decoder, int piece) {
    double[][] all = new double[TOKENS.length][];
    int vocabulary = decoder.config().vocabulary();
    try (KvCache cache = decoder.newCache(16, 5, DType.F32);
        KvSequence sequence = cache.newSequence(TOKENS.length);
        DeviceMemory memory = decoder.backend().allocateMemory();
        Arena arena = Arena.ofConfined()) {
      Tensor device = memory.tensor(DType.F32, TOKENS.length, vocabulary);
      for (int from = 0; from < TOKENS.length; from += piece) {
        int to = Math.min(TOKENS.length, from + piece);
        Tensor logits = device.rows(0, to - from);
        decoder.forward(
            new Batch().add(sequence, TOKENS, from, to, Batch.Logits.ALL), cache, logits);
        Tensor host =
            Tensor.of(arena.allocate(logits.bytes(), 64), DType.F32, to - from, vocabulary);
        decoder.backend().download(logits, host.memory());
        for (int i = from; i < to; i++) {
          float[] row = new float[vocabulary];
          Floats.readRow(host, i - from, row);
          all[i] = new double[vocabulary];
          for (int c = 0; c < vocabulary; c++) {
            all[i][c] = row[c];
          }
        }
      }
    }
    return all;
  }

  private static void assertClose(double[][] actual, double[][] expected) {
    for (int t = 0; t < expected.length; t++) {
      double largest = Arrays.stream(expected[t]).map(Math::abs).max().orElseThrow();
      for (int i = 0; i < expected[t].length; i++) {
        if (!(Math.abs(actual[t][i] - expected[t][i]) <= TOLERANCE * largest)) {
          throw new AssertionError(
              "token %d, logit %d: %s instead of %s, the largest is %s"
                  .formatted(t, i, actual[t][i], expected[t][i], largest));
        }
      }
    }
  }

  @Test
  void unknownArchitecturesAreRefusedWithThoseThatRun() {
    try (RandomModel model = RandomModels.QWEN3.make()) {
      model.config().putArray("architectures").add("Qwen3MoeForCausalLM");
      List<String> known = List.of("Qwen3ForCausalLM", "GPT2LMHeadModel", "Gemma2ForCausalLM");
      assertThatThrownBy(() -> ModelConfig.parse(model.config(), "config.json"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContainingAll(known.toArray(new String[0]));
    }
  }
}
