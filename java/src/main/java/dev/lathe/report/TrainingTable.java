package dev.lathe.report;

import dev.lathe.report.Stage.Training;
import java.util.List;
import java.util.Optional;

/** What the stages that train have cost, and what the training did. */
final class TrainingTable {
  private TrainingTable() {}

  static Optional<Table> of(OptimizeResults results) {
    List<Stage> trained =
        results.stages().stream().filter(stage -> stage.training().isPresent()).toList();
    if (trained.isEmpty()) {
      return Optional.empty();
    }
    Table.Builder table =
        Table.of(
                "training",
                "Fine-tuning",
                "On %s. Losses in nats a token, over a part of that text that is not trained on; before is"
                        .formatted(trained.getFirst().training().orElseThrow().text())
                    + " the model that the stage began with, nothing cut yet. A model that was not"
                    + " trained to its end gains by more training whatever is pruned: the last column"
                    + " is the loss against the baseline, on the text that quality is judged on, of"
                    + " the same training without pruning.")
            .text("Stage", "Verdict")
            .numbers("Steps", "Tokens", "Seconds", "Loss before", "Loss after", "Without pruning");
    for (Stage stage : trained) {
      Training training = stage.training().orElseThrow();
      table.row(
          stage.what(),
          Tables.verdict(stage),
          Figures.count(training.steps()),
          Figures.count(training.tokens()),
          Figures.number(training.seconds()),
          Figures.number(training.lossBefore(), 4),
          Figures.number(training.lossAfter(), 4),
          Figures.orNotMeasured(training.controlLossPercent(), Figures::change));
    }
    return Optional.of(table.build());
  }
}
