package dev.lathe.fuzz;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.FuzzSeeds;
import dev.lathe.checkpoint.StrictJson;
import dev.lathe.model.ModelConfig;
import dev.lathe.optimize.Recipes;
import dev.lathe.tensor.Tensor;
import dev.lathe.tokenize.ChatTemplate;
import dev.lathe.tokenize.ChatTemplate.Message;
import dev.lathe.tokenize.HuggingFaceTokenizer;
import dev.lathe.tokenize.TokenStream;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import dev.lathe.train.EmbeddedData;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import tools.jackson.databind.node.ObjectNode;

/** What is read of files that come from elsewhere, as Lathe's verbs read it. */
final class Readers {
  static final String TEXT = "One fox, 12 hens: na\u00efve \ud83e\udd8a\n";

  private static final byte[] CONFIG =
      "{\"model_type\": \"llama\"}".getBytes(StandardCharsets.UTF_8);
  private static final byte[] SPECIAL_TOKENS =
      "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}".getBytes(StandardCharsets.UTF_8);
  private static final byte[] NO_TENSORS = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};

  private Readers() {}

  /** A folder's weights: every tensor, and every matrix in the format that its names say. */
  static void safetensors(Path file) throws IOException {
    companion(file.resolveSibling("config.json"), CONFIG);
    try (Checkpoint checkpoint = Checkpoints.open(file.getParent())) {
      weights(checkpoint);
    }
  }

  /** Which tensor lies in which file, beside two shards that hold some of what it may name. */
  static void index(Path file) throws IOException {
    Path folder = file.getParent();
    companion(folder.resolve("config.json"), CONFIG);
    companion(folder.resolve("1.safetensors"), FuzzSeeds.shard("a.weight"));
    companion(folder.resolve("2.safetensors"), FuzzSeeds.shard("b.weight"));
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      weights(checkpoint);
    }
  }

  /** What a model was made from. */
  static void lineage(Path file) throws IOException {
    Path folder = file.getParent();
    companion(folder.resolve("config.json"), CONFIG);
    companion(folder.resolve("model.safetensors"), NO_TENSORS);
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      checkpoint.lineage();
      EmbeddedData.training(checkpoint);
    }
  }

  /** A file that must lie beside, the same for every input. */
  private static void companion(Path file, byte[] content) throws IOException {
    if (!Files.exists(file)) {
      Files.write(file, content);
      file.toFile().deleteOnExit();
    }
  }

  /** A GGUF file: its weights, its configuration and its tokenizer. */
  static void gguf(Path file) {
    try (Checkpoint checkpoint = Checkpoints.open(file)) {
      weights(checkpoint);
      ModelConfig.parse(checkpoint.config(), file.toString());
      if (checkpoint.content("tokenizer.json").isPresent()) {
        try (Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
          use(tokenizer);
        }
      }
    }
  }

  private static void weights(Checkpoint checkpoint) {
    for (String name : checkpoint.tensors().keySet()) {
      Tensor tensor = checkpoint.tensor(name);
      if (tensor.memory().byteSize() > 0) {
        tensor.memory().get(ValueLayout.JAVA_BYTE, tensor.memory().byteSize() - 1);
      }
      int end = name.lastIndexOf(".weight");
      String module = end < 0 ? name : name.substring(0, end);
      if (checkpoint.hasWeight(module)) {
        checkpoint.weight(module);
      }
    }
  }

  /** {@code tokenizer.json}, and behind a zero byte {@code tokenizer_config.json}. */
  static void tokenizer(Path file) throws IOException {
    byte[] both = Files.readAllBytes(file);
    int zero = 0;
    while (zero < both.length && both[zero] != 0) {
      zero++;
    }
    Files.write(file, java.util.Arrays.copyOf(both, zero));
    Optional<Path> companion = Optional.empty();
    if (zero < both.length) {
      Path config = file.resolveSibling("tokenizer.json_config.json");
      config.toFile().deleteOnExit();
      Files.write(config, java.util.Arrays.copyOfRange(both, zero + 1, both.length));
      companion = Optional.of(config);
    }
    ObjectNode model = StrictJson.mapper().createObjectNode();
    try (Tokenizer tokenizer = HuggingFaceTokenizer.load(file, companion, model)) {
      use(tokenizer);
    }
  }

  private static void use(Tokenizer tokenizer) {
    int[] ids = tokenizer.encode(TEXT);
    tokenizer.decode(ids);
    int begin = tokenizer.beginOfSequence().orElse(0);
    TokenStream stream = tokenizer.stream(new int[] {begin});
    for (int id : ids) {
      stream.next(id);
    }
    stream.finish();
  }

  /** A chat template: read, and rendered for a conversation with a system and without. */
  static void template(Path file) throws IOException {
    Path folder = file.getParent();
    companion(folder.resolve("config.json"), CONFIG);
    companion(folder.resolve("model.safetensors"), NO_TENSORS);
    companion(folder.resolve("tokenizer_config.json"), SPECIAL_TOKENS);
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      ChatTemplate template = ChatTemplate.find(checkpoint).orElseThrow();
      Message user = new Message("user", TEXT);
      template.render(List.of(user), true);
      template.render(
          List.of(new Message("system", "Be brief."), user, new Message("assistant", "2"), user),
          false);
    }
  }

  static void config(Path file) {
    ModelConfig.parse(StrictJson.readObject(file), file.toString());
  }

  static void recipe(Path file) {
    Recipes.load(file.toString());
  }
}
