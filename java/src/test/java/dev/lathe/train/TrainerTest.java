package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.model.TinyModel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainerTest {
  private static final TrainingPlan PLAN =
      new TrainingPlan(3, 16, 40, 1e-2, 1e-3, 4, 0.1, 1, 10, 3, 7);

  /** Threes that count up: what follows can be learnt in some steps. */
  private final TrainingText text =
      new TrainingText(
          new SplittableRandom(5)
              .ints(200, 0, 80)
              .mapToObj(n -> new int[] {n, n + 80, n + 160})
              .toList());

  @TempDir Path folder;

  @Test
  void theLossFalls() {
    try (Run run = new Run(Masks.NONE, 2)) {
      double before = run.trainer.evaluate(text);
      run.steps(40);
      assertThat(run.trainer.evaluate(text)).isLessThan(before - 1);
    }
  }

  @Test
  void threeStepsResumedForThreeAreSixToTheBit() {
    Path file = folder.resolve("state");
    try (Run whole = new Run(Masks.NONE, 2);
        Run first = new Run(Masks.NONE, 2);
        Run second = new Run(Masks.NONE, 1)) {
      whole.steps(6);
      first.steps(3);
      TrainingState state = new TrainingState(first.parameters);
      state.bestLoss = 1.25;
      state.save(file, 99, first.parameters, first.optimizer);
      TrainingState loaded = new TrainingState(second.parameters);
      loaded.load(file, 99, second.parameters, second.optimizer);
      assertThat(loaded.bestLoss).isEqualTo(1.25);
      second.steps(3); // on one thread: the number of threads must not matter either
      assertThat(second.parameters.values()).isEqualTo(whole.parameters.values());
      assertThat(second.optimizer.square).isEqualTo(whole.optimizer.square);
    }
  }

  @Test
  void aStateOfAnotherRunOrCutShortIsRefused() throws Exception {
    Path file = folder.resolve("state");
    try (Run run = new Run(Masks.NONE, 1)) {
      TrainingState state = new TrainingState(run.parameters);
      state.save(file, 1, run.parameters, run.optimizer);
      assertThatThrownBy(() -> state.load(file, 2, run.parameters, run.optimizer))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("another model, text or plan");
      Files.write(file, Arrays.copyOf(Files.readAllBytes(file), 1000));
      assertThatThrownBy(() -> state.load(file, 1, run.parameters, run.optimizer))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("cut short");
    }
  }

  @Test
  void whatIsMaskedStaysZeroAndTheRestLearns() {
    Parameters pruned = parameters();
    Parameters.Entry matrix = pruned.entry("model.layers.1.mlp.up_proj.weight");
    for (int i = 0; i < matrix.elements(); i += 2) {
      pruned.values()[matrix.offset() + i] = 0;
    }
    Masks masks = Masks.ofZeros(pruned);
    assertThat(masks.zeros()).isEqualTo(matrix.elements() / 2);
    try (Run run = new Run(masks, 1)) {
      float[] before = run.parameters.values().clone();
      run.steps(3);
      for (int i = 0; i < matrix.elements(); i++) {
        float value = run.parameters.values()[matrix.offset() + i];
        if (i % 2 == 0) {
          assertThat(value).isZero();
        } else {
          assertThat(value).isNotEqualTo(before[matrix.offset() + i]);
        }
      }
    }
  }

  @Test
  void aLossThatIsNoNumberStopsTrainingAndChangesNothing() {
    try (Run run = new Run(Masks.NONE, 1)) {
      run.parameters.values()[run.parameters.offset("model.norm.weight")] = Float.NaN;
      float[] before = run.parameters.values().clone();
      assertThatThrownBy(run.trainer::step)
          .isInstanceOf(LatheException.class)
          .hasMessageContaining("step 0")
          .hasMessageContaining("learning rate");
      assertThat(run.parameters.values()).isEqualTo(before);
    }
  }

  @Test
  void firstUpdateOfAdamWByHand() {
    // With both moments corrected, the first step moves each weight by the rate against the
    // gradient's sign, matrices first shrink by rate times decay; clipping changes no sign.
    Parameters parameters = parameters();
    float[] before = parameters.values().clone();
    AdamW optimizer = new AdamW(parameters, 0.5, Masks.NONE);
    float[] gradient = new float[parameters.count()];
    Arrays.fill(gradient, 3);
    double norm = optimizer.update(gradient, 0.01, 1);
    assertThat(norm).isCloseTo(3 * Math.sqrt(gradient.length), within(1e-3));
    for (Parameters.Entry entry : parameters.entries()) {
      double keep = entry.isMatrix() ? 1 - 0.01 * 0.5 : 1;
      int i = entry.offset() + 1;
      assertThat((double) parameters.values()[i])
          .as(entry.name())
          .isCloseTo(before[i] * keep - 0.01, within(1e-5));
    }
  }

  @Test
  void theLearningRateRisesThenFallsAlongACosine() {
    assertThat(PLAN.learningRate(0)).isEqualTo(0.0025);
    assertThat(PLAN.learningRate(4)).isCloseTo(0.01, within(1e-12));
    assertThat(PLAN.learningRate(22)).isCloseTo(0.0055, within(1e-12));
    assertThat(PLAN.learningRate(40)).isCloseTo(0.001, within(1e-12));
  }

  @Test
  void evaluationSeesEveryTokenOnce() {
    List<TrainingText.Windows> all = text.all(3, 16);
    long targets =
        all.stream().flatMapToInt(w -> Arrays.stream(w.targets())).filter(t -> t >= 0).count();
    assertThat(targets).isEqualTo(text.size() - 1);
  }

  @Test
  void everyStepDrawsWindowsOfItsOwn() {
    // 100 steps of 8 windows out of 2,000 documents, drawn independently, see
    // 2000 (1 - exp(-0.4)) = 659 different ones (deviation 13).
    TrainingText many =
        new TrainingText(IntStream.range(0, 2000).mapToObj(n -> new int[] {n, n}).toList());
    Set<Integer> seen = new HashSet<>();
    for (int step = 0; step < 100; step++) {
      int[] inputs = many.draw(1, step, 8, 1).inputs();
      Arrays.stream(inputs).forEach(seen::add);
    }
    assertThat(seen.size()).isBetween(580, 740);
  }

  private static Parameters parameters() {
    try (TinyModel model = new TinyModel(11)) {
      return Parameters.load(model);
    }
  }

  private final class Run implements AutoCloseable {
    final Parameters parameters = parameters();
    final AdamW optimizer;
    final Trainer trainer;

    Run(Masks masks, int threads) {
      optimizer = new AdamW(parameters, PLAN.weightDecay(), masks);
      trainer = new Trainer(parameters, PLAN, optimizer, text, threads);
    }

    void steps(int count) {
      for (int i = 0; i < count; i++) {
        trainer.step();
      }
    }

    @Override
    public void close() {
      trainer.close();
    }
  }
}
