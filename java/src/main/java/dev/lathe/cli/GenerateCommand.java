package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.generate.Engine;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.generate.Generation;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.generate.Handle;
import dev.lathe.generate.Sampling;
import dev.lathe.tokenize.Tokenizer;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

/** Text from a model, streamed to stdout or as one JSON object. */
@Command(name = "generate", description = "Generates text.", mixinStandardHelpOptions = true)
final class GenerateCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private ModelOption model;
  @Mixin private HardwareOptions hardware;
  @Mixin private CacheTypeOption cacheType;
  @Mixin private JsonOption output;

  @Option(
      names = {"-p", "--prompt"},
      paramLabel = "TEXT",
      description =
          "Text to go on with; several run side by side. Without one, text starts from the"
              + " beginning-of-sequence token.")
  private List<String> prompts = List.of("");

  @Option(
      names = "--chat",
      description =
          "Each prompt is what a user says to the model: it is written as the model's chat template"
              + " says.")
  private boolean chat;

  @Option(
      names = "--system",
      paramLabel = "TEXT",
      description = "With --chat: what the system says before.")
  private String system;

  @Option(
      names = {"-n", "--max-tokens"},
      defaultValue = "128",
      paramLabel = "N",
      description = "The most tokens to generate for a prompt. Default: ${DEFAULT-VALUE}.")
  private int maxTokens;

  @Option(
      names = "--temperature",
      defaultValue = "0",
      paramLabel = "T",
      description = "0 takes the likeliest token each time. Default: ${DEFAULT-VALUE}.")
  private double temperature;

  @Option(
      names = "--top-k",
      defaultValue = "0",
      paramLabel = "K",
      description = "Draw from the K likeliest tokens only; 0 is off. Default: ${DEFAULT-VALUE}.")
  private int topK;

  @Option(
      names = "--top-p",
      defaultValue = "1",
      paramLabel = "P",
      description =
          "Draw from the likeliest tokens that together reach this probability only; 1 is off."
              + " Default: ${DEFAULT-VALUE}.")
  private double topP;

  @Option(
      names = "--min-p",
      defaultValue = "0",
      paramLabel = "P",
      description =
          "Draw only from tokens at least this fraction as likely as the likeliest; 0 is off."
              + " Default: ${DEFAULT-VALUE}.")
  private double minP;

  @Option(
      names = "--repetition-penalty",
      defaultValue = "1",
      paramLabel = "R",
      description =
          "Divides the logits of tokens that are there already; 1 is off. Default:"
              + " ${DEFAULT-VALUE}.")
  private double repetitionPenalty;

  @Option(
      names = "--logprobs",
      defaultValue = "-1",
      paramLabel = "N",
      description =
          "With --json: the log probability of each token, and of the N likeliest in its place.")
  private int logprobs;

  @Option(
      names = "--seed",
      defaultValue = "0",
      paramLabel = "N",
      description = "Of the drawing; sequence i draws with seed + i. Default: ${DEFAULT-VALUE}.")
  private long seed;

  @Option(
      names = "--stop",
      paramLabel = "TEXT",
      description = "Ends the generation where it appears; may be given several times.")
  private List<String> stop = List.of();

  @Option(names = "--ignore-eos", description = "Go on past the model's end-of-sequence token.")
  private boolean ignoreEos;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description =
          "Sequences that run side by side; fewer prompts than that are repeated. Default: one for"
              + " each prompt.")
  private Integer batch;

  @Option(
      names = "--no-kv-cache",
      description =
          "Compute every prefix again for each token: the baseline that a cache is"
              + " measured against.")
  private boolean noKvCache;

  @Override
  public Integer call() {
    Sampling sampling = new Sampling(temperature, topK, topP, minP, repetitionPenalty, seed);
    HardwareOptions.atLeast("--max-tokens", maxTokens, 1);
    Conversation conversation = new Conversation(chat, system, prompts);
    int together = batch == null ? prompts.size() : HardwareOptions.batch(batch);
    try (OpenModel open = OpenModel.load(model.path(), hardware, cacheType)) {
      List<GenerationRequest> requests =
          requests(conversation.tokens(open), Math.max(together, prompts.size()), sampling);
      List<Generation> generations = run(open, requests, together);
      GenerationOutput result =
          new GenerationOutput(generations, open.backendName(), open.reason());
      if (output.json) {
        Json.print(result.json().put("kv_cache_type", open.cacheType()), lathe.console().out());
      } else {
        if (requests.size() > 1) {
          result.printTexts(lathe.console().out());
        }
        lathe.console().err().println(result.summary());
      }
    }
    return 0;
  }

  private List<GenerationRequest> requests(List<int[]> prompts, int count, Sampling sampling) {
    List<GenerationRequest> requests = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int[] tokens = prompts.get(i % prompts.size());
      Sampling own = sampling.withSeed(seed + i);
      requests.add(new GenerationRequest(tokens, maxTokens, own, stop, ignoreEos, logprobs));
    }
    return requests;
  }

  static int[] withBeginning(Tokenizer tokenizer, String prompt) {
    int[] text = tokenizer.encode(prompt);
    if (tokenizer.beginOfSequence().isEmpty()) {
      if (text.length == 0) {
        throw new InvalidInputException(
            "the prompt is empty, and this model's tokenizer has no beginning-of-sequence token to"
                + " start from: --prompt must not be empty");
      }
      return text;
    }
    int[] tokens = new int[text.length + 1];
    tokens[0] = tokenizer.beginOfSequence().getAsInt();
    System.arraycopy(text, 0, tokens, 1, text.length);
    return tokens;
  }

  private List<Generation> run(OpenModel open, List<GenerationRequest> requests, int together) {
    PrintStream out = lathe.console().out();
    boolean stream = !output.json && requests.size() == 1;
    long steps = 0;
    Consumer<String> onText =
        text -> {
          if (stream) {
            out.print(text);
            if (out.checkError()) {
              // Nobody reads any more: `lathe generate | head`.
              throw new LatheException(LatheException.FAILED, "stdout was closed, nobody reads on");
            }
          }
        };
    Cache cache = noKvCache ? Cache.NONE : Cache.KV;
    try (Engine engine =
            Engine.sizedFor(requests, open.decoder(), open.tokenizer(), together, cache);
        Progress progress = new Progress(lathe.console())) {
      List<Handle> handles = requests.stream().map(r -> engine.submit(r, onText)).toList();
      while (engine.step()) {
        steps++;
        if (stream) {
          Cancellation.check();
        } else {
          progress.update("generate", steps, 0, "steps");
        }
      }
      if (stream) {
        out.println();
      }
      return handles.stream().map(handle -> handle.result().orElseThrow()).toList();
    }
  }
}
