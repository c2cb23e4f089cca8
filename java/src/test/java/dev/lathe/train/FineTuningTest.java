package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.bytedeco.openblas.global.openblas;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FineTuningTest {
  private static final FineTuningPlan PLAN = new FineTuningPlan(12, 3, 16, 1e-2, 1e-3, 2, 0.1, 7);
  private static final List<String> PRUNED =
      List.of("model.layers.0.mlp.up_proj", "model.layers.1.self_attn.k_proj");

  /** Threes that count up: what follows can be learnt in some steps. */
  private static final FineTuning.Documents TEXT =
      new FineTuning.Documents(
          new SplittableRandom(5)
              .ints(200, 0, 80)
              .mapToObj(n -> new int[] {n, n + 80, n + 160})
              .toList(),
          "counting");

  private final TinyModel model = new TinyModel(11);

  @TempDir Path folder;

  @AfterEach
  void close() {
    model.close();
  }

  @Test
  void theLossFallsOnTextThatIsNotTrainedOn() throws IOException {
    Path out = folder.resolve("a/b");
    FineTuning.Result result = run(out, Optional.empty(), 2);
    assertThat(result.lossAfter()).isLessThan(result.lossBefore() - 0.3);
    assertThat(result.tokens()).isEqualTo(12L * 3 * 16);
    assertThat(result.bytes()).isEqualTo(Files.size(out.resolve("model.safetensors")));
    try (Checkpoint written = Checkpoints.open(out)) {
      Lineage.Step step = written.lineage().steps().getLast();
      assertThat(step.parentHash()).isEqualTo(model.hash());
      assertThat(step.technique())
          .startsWith("finetune steps=12 batch=3 length=16 learning-rate=0.01..0.001")
          .endsWith("seed=7 text=counting");
    }
  }

  @Test
  void exactlyTheShareIsZeroInTheEndAndTheSameOnOneThreadAsOnTwo() {
    PruningSchedule schedule = new PruningSchedule(PRUNED, 0.5, false, 8, 2);
    FineTuning.Result one = run(folder.resolve("one"), Optional.of(schedule), 1);
    FineTuning.Result two = run(folder.resolve("two"), Optional.of(schedule), 2);
    assertThat(two.lossAfter()).isEqualTo(one.lossAfter()).isLessThan(one.lossBefore());
    try (Checkpoint first = Checkpoints.open(folder.resolve("one"));
        Checkpoint second = Checkpoints.open(folder.resolve("two"))) {
      assertThat(second.hash()).isEqualTo(first.hash());
      long zeros = 0;
      for (String module : PRUNED) {
        Tensor weights = first.tensor(module + ".weight");
        long count = weights.size(0) * weights.size(1);
        long here = zeros(weights, count);
        assertThat(count - here).isEqualTo(Math.round(0.5 * count));
        zeros += here;
      }
      assertThat(one.zeros()).isEqualTo(zeros);
    }
  }

  @Test
  void whatIsZeroStaysZeroAndTypesStay() throws IOException {
    String name = "model.layers.0.self_attn.q_proj.weight";
    Tensor cut = model.tensor(name);
    for (int i = 0; i < 240; i += 2) {
      Floats.set(cut.memory(), DType.F32, i, 0);
    }
    model.replace("model.norm.weight", bf16(model.tensor("model.norm.weight")));
    String other = "model.layers.1.mlp.down_proj.weight";
    model.replace(other, bf16(model.tensor(other)));
    run(folder.resolve("out"), Optional.empty(), 1);
    try (Checkpoint written = Checkpoints.open(folder.resolve("out"))) {
      Tensor now = written.tensor(name);
      for (int i = 0; i < 240; i++) {
        float value = Floats.get(now.memory(), DType.F32, i);
        assertThat(value == 0).as("weight %d", i).isEqualTo(i % 2 == 0);
      }
      assertThat(written.tensor(other).dtype()).isEqualTo(DType.BF16);
      assertThat(written.tensor("model.norm.weight").dtype()).isEqualTo(DType.BF16);
      assertThat(written.tensor("lm_head.weight").dtype()).isEqualTo(DType.F32);
    }
  }

  @Test
  void openBlasHasItsThreadsBackAlsoWhenTrainingFails() {
    int before = openblas.blas_get_num_threads();
    openblas.blas_set_num_threads(3);
    try {
      int[] during = {0};
      FineTuning.run(
          model,
          TEXT,
          PLAN,
          Optional.empty(),
          2,
          folder.resolve("out"),
          (done, steps, loss) -> during[0] = openblas.blas_get_num_threads());
      assertThat(during[0]).isEqualTo(1);
      assertThat(openblas.blas_get_num_threads()).isEqualTo(3);

      Floats.set(model.tensor("model.norm.weight").memory(), DType.F32, 0, Float.NaN);
      assertThatThrownBy(() -> run(folder.resolve("nan"), Optional.empty(), 2))
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("training stopped at step 0: loss NaN");
      assertThat(openblas.blas_get_num_threads()).isEqualTo(3);
      assertThat(folder.resolve("nan")).doesNotExist();
    } finally {
      openblas.blas_set_num_threads(before);
    }
  }

  @Test
  void anInterruptLeavesNothing() {
    try {
      assertThatThrownBy(() ->
              FineTuning.run(
                  model,
                  TEXT,
                  PLAN,
                  Optional.empty(),
                  2,
                  folder.resolve("out"),
                  (done, steps, loss) -> {
                    if (done == 3) {
                      Thread.currentThread().interrupt();
                    }
                  }))
          .isInstanceOf(LatheException.class)
          .hasCauseInstanceOf(InterruptedException.class);
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void whatCannotBeTrainedIsRefused() throws IOException {
    Files.createDirectory(folder.resolve("there"));
    refused(() -> run(folder.resolve("there"), Optional.empty(), 1), "there exists already");
    FineTuningPlan tooLong = new FineTuningPlan(1, 1, 97, 1e-3, 0, 0, 0, 0);
    refused(() -> run(TEXT, tooLong), "97 tokens are longer than the model's context of 96");
    FineTuning.Documents tiny = new FineTuning.Documents(List.of(new int[] {1, 2, 3}), "tiny");
    refused(() -> run(tiny, PLAN), "3 tokens in 1 documents");
    FineTuningPlan huge = new FineTuningPlan(1, 4096, 96, 1e-3, 0, 0, 0, 0);
    assertThat(FineTuning.refusal(model, huge)).isEmpty(); // some sequences at a time
    model.config().put("hidden_act", "gelu");
    refused(() -> run(TEXT, PLAN), "training knows LlamaForCausalLM with silu");
    assertThat(FineTuning.refusal(model, PLAN)).isPresent();
    assertThat(folder.resolve("out")).doesNotExist();
    refused(() -> new FineTuningPlan(0, 1, 4, 1e-3, 0, 0, 0, 0), "steps 0");
    refused(() -> new FineTuningPlan(1, 1, 4, 1e-3, 1e-2, 0, 0, 0), "last learning rate 0.01");
  }

  @Test
  void aModelBeyondTheJavaHeapIsRefusedBeforeItIsRead() {
    model
        .config()
        .put("hidden_size", 65536)
        .put("intermediate_size", 65536)
        .put("vocab_size", 320000);
    assertThat(FineTuning.refusal(model, PLAN).orElseThrow())
        .containsAnyOf("MB of Java heap", "models of up to 2,147,483,639 parameters");
  }

  private FineTuning.Result run(Path out, Optional<PruningSchedule> pruning, int threads) {
    return FineTuning.run(model, TEXT, PLAN, pruning, threads, out, (done, steps, loss) -> {});
  }

  private FineTuning.Result run(FineTuning.Documents text, FineTuningPlan plan) {
    Path out = folder.resolve("out");
    return FineTuning.run(model, text, plan, Optional.empty(), 1, out, (d, s, l) -> {});
  }

  private static void refused(
      org.assertj.core.api.ThrowableAssert.ThrowingCallable call, String why) {
    assertThatThrownBy(call).isInstanceOf(InvalidInputException.class).hasMessageContaining(why);
  }

  private static long zeros(Tensor weights, long count) {
    long zeros = 0;
    for (long i = 0; i < count; i++) {
      zeros += Floats.get(weights.memory(), weights.dtype(), i) == 0 ? 1 : 0;
    }
    return zeros;
  }

  private static Tensor bf16(Tensor f32) {
    Tensor bf16 =
        Tensor.of(
            java.lang.foreign.Arena.ofAuto().allocate(2 * Tensor.elements(f32.shape()), 64),
            DType.BF16,
            f32.shape());
    for (long i = 0; i < Tensor.elements(f32.shape()); i++) {
      Floats.set(bf16.memory(), DType.BF16, i, Floats.get(f32.memory(), DType.F32, i));
    }
    return bf16;
  }
}
