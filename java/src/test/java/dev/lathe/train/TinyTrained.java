package dev.lathe.train;

import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.StrictJson;
import dev.lathe.model.ModelConfig;
import dev.lathe.tokenize.HuggingFaceTokenizer;
import dev.lathe.train.corpus.Corpus;
import dev.lathe.train.corpus.Split;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/**
 * A very small Llama that was trained for a second, so that it has something to lose: folder {@code
 * model}, and beside it {@code training.txt} and {@code held-out.txt}, documents with {@link
 * Corpus#SEPARATOR}.
 */
public final class TinyTrained {
  private static final int VOCABULARY = 320;
  private static final int CONTEXT = 64;

  private TinyTrained() {}

  /** Writes everything into a folder that exists. */
  public static Path write(Path folder) throws IOException {
    Corpus training = Corpus.write(5, Split.TRAINING, 60_000);
    Files.writeString(folder.resolve("training.txt"), training.text());
    Files.writeString(
        folder.resolve("held-out.txt"), Corpus.write(5, Split.HELD_OUT, 4_000).text());
    BytePairs pairs = BytePairs.learn(training.documents(), VOCABULARY);
    Path tokenizerJson = folder.resolve("tokenizer.json");
    Path companion = folder.resolve("tokenizer_config.json");
    Files.write(tokenizerJson, StrictJson.mapper().writeValueAsBytes(pairs.tokenizerJson()));
    Files.write(companion, StrictJson.mapper().writeValueAsBytes(pairs.tokenizerConfigJson()));
    ObjectNode config = config(pairs);
    List<int[]> documents;
    try (HuggingFaceTokenizer tokenizer =
        HuggingFaceTokenizer.load(tokenizerJson, Optional.of(companion), config)) {
      documents =
          tokenizer.encodeAll(training.documents()).stream()
              .map(ids -> {
                int[] whole = new int[ids.length + 1];
                whole[0] = pairs.begin();
                System.arraycopy(ids, 0, whole, 1, ids.length);
                return whole;
              })
              .toList();
    }
    Parameters parameters = Parameters.initial(ModelConfig.parse(config, "tiny"), 3);
    TrainingPlan plan = new TrainingPlan(16, CONTEXT, 120, 1e-2, 1e-3, 5, 0, 1, 120, 1, 4);
    AdamW optimizer = new AdamW(parameters, 0, Masks.NONE);
    try (Trainer trainer =
        new Trainer(parameters, plan, optimizer, new TrainingText(documents), 2)) {
      for (int step = 0; step < plan.steps(); step++) {
        trainer.step();
      }
    }
    Path model = folder.resolve("model");
    CheckpointWriter writer =
        CheckpointWriter.create(model).config(config).copy(tokenizerJson).copy(companion);
    parameters.writeTo(writer);
    return writer.write(bytes -> {}).folder();
  }

  private static ObjectNode config(BytePairs pairs) {
    return StrictJson.parseObject(
        """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32,
         "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "vocab_size": %d,
         "max_position_embeddings": %d, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "tie_word_embeddings": true, "hidden_act": "silu", "bos_token_id": %d,
         "eos_token_id": %d}
        """
            .formatted(VOCABULARY, CONTEXT, pairs.begin(), pairs.end())
            .getBytes(StandardCharsets.UTF_8),
        "tiny");
  }
}
