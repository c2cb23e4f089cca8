package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.model.Decoder;
import dev.lathe.model.ModelConfig;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmbeddedTrainingTest {
  @TempDir Path folder;

  @Test
  void theEmbeddedDefaultHasTheShapeThatIsAskedFor() {
    ModelConfig config =
        ModelConfig.parse(EmbeddedTraining.config(EmbeddedTraining.Size.EMBEDDED), "test");
    Parameters parameters = new Parameters(config);
    assertThat(parameters.count()).isBetween(800_000, 1_200_000);
    for (Parameters.Entry entry : parameters.entries()) {
      assertThat(entry.rows() % 128).as(entry.name()).isZero();
      assertThat(entry.cols() % 128).as(entry.name()).isZero();
    }
    ModelConfig half =
        ModelConfig.parse(EmbeddedTraining.config(EmbeddedTraining.Size.HALF), "test");
    assertThat(2.0 * new Parameters(half).count() / parameters.count())
        .isCloseTo(1, within(0.0005));
  }

  @Test
  void aShortTrainingLeavesAModelThatOpensAndACurve() throws Exception {
    List<String> said = new ArrayList<>();
    EmbeddedTraining.run(folder, 2, new EmbeddedTraining.Size(1, 384), 2, said::add);
    assertThat(Files.readAllLines(folder.resolve("curve.csv"))).hasSize(2);
    assertThat(said.getLast()).contains("held-out loss");
    try (Checkpoint checkpoint = Checkpoints.open(folder.resolve("model"));
        Decoder decoder = Decoder.load(checkpoint, new ReferenceBackend());
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      assertThat(checkpoint.tensors().values().stream().mapToLong(TensorInfo::elements).sum())
          .isEqualTo(new Parameters(decoder.config()).count());
      assertThat(tokenizer.vocabularySize()).isEqualTo(decoder.config().vocabulary());
      assertThat(tokenizer.beginOfSequence()).isEqualTo(decoder.config().beginOfSequence());
    }
  }
}
