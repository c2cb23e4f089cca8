package dev.lathe.optimize;

import dev.lathe.measure.Quality;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.RunJson;
import tools.jackson.databind.node.ObjectNode;

/**
 * Raw observations of a run. Those of a stage that was interrupted stay; {@code attempt} tells them
 * from those of the stage when it was run again.
 */
final class Samples {
  private final RunFolder folder;
  private final int attempt;

  Samples(RunFolder folder, int attempt) {
    this.folder = folder;
    this.attempt = attempt;
  }

  /** What every document gave. */
  void documents(String stage, Quality quality) {
    for (int i = 0; i < quality.perDocument().size(); i++) {
      folder.append(
          line(stage, "document")
              .put("document", i)
              .put("tokens", quality.perDocument().get(i).tokens())
              .put("nll", quality.perDocument().get(i).nll()));
    }
  }

  SpeedTrial.Witness witness(String stage) {
    return (contender, repetition, sequence, sample) -> {
      ObjectNode line = line(stage, "generation");
      line.put("contender", contender.name())
          .put("repetition", repetition)
          .put("sequence", sequence);
      line.setAll(RunJson.mapper().<ObjectNode>valueToTree(sample));
      folder.append(line);
    };
  }

  private ObjectNode line(String stage, String kind) {
    return RunJson.mapper()
        .createObjectNode()
        .put("stage", stage)
        .put("kind", kind)
        .put("attempt", attempt);
  }
}
