package dev.lathe.gpucheck;

import dev.lathe.backend.Backends;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.Engine;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.generate.Generation;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.model.Decoder;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.DType;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Greedy decoding of one sequence by a whole model, as {@code generate} does it: by the wall clock,
 * the host's work included. A sample is the mean time of a token after the first, over a generation
 * of as many tokens as scripts/peers/decode.py generates. The model is loaded once.
 *
 * <pre>java -cp CLASSPATH dev.lathe.gpucheck.DecodeBench MODEL NAME SIDE [--tiny]</pre>
 */
public final class DecodeBench {
  private static final int PROMPT = 8;
  private static final int TOKENS = 256;
  private static final int TINY_TOKENS = 8;
  private static final int WARM_UPS = 2;
  private static final int SAMPLES = 9;

  private DecodeBench() {}

  public static void main(String[] arguments) {
    boolean tiny = List.of(arguments).contains("--tiny");
    Items items = Items.of(System.out);
    System.setOut(System.err); // what libraries say is not a result
    String side = arguments[2];
    items.run(
        "decode %s, %s".formatted(arguments[1], side),
        () -> run(items, arguments[0], arguments[1], side, tiny));
    System.exit(0);
  }

  private static void run(Items items, String model, String name, String side, boolean tiny) {
    try (OpenedBackend opened = Backends.open("cuda", 0, "auto");
        Checkpoint checkpoint = Checkpoints.open(Path.of(model));
        Tokenizer tokenizer = Tokenizers.load(checkpoint);
        Decoder decoder = Decoder.load(checkpoint, opened.backend())) {
      ModelConfig config = decoder.config();
      int[] prompt =
          IntStream.range(0, PROMPT).map(i -> (7 + 31 * i) % config.vocabulary()).toArray();
      int tokens = tiny ? TINY_TOKENS : TOKENS;
      List<GenerationRequest> request = List.of(GenerationRequest.greedy(prompt, tokens));
      ObjectNode row =
          Items.object().put("bench", Asks.DECODE).put("shape", name).put("side", side);
      ArrayNode samples = Items.object().putArray("samples");
      try (Engine engine = Engine.sizedFor(request, decoder, tokenizer, 1, Cache.KV)) {
        for (int i = -WARM_UPS; i < (tiny ? 1 : SAMPLES); i++) {
          Generation generation = engine.generate(request).getFirst();
          if (generation.tokens().length != tokens) {
            throw new IllegalStateException(
                "%d tokens instead of %d".formatted(generation.tokens().length, tokens));
          }
          if (i >= 0) {
            long[] nanos = generation.tokenNanos();
            samples.add((nanos[tokens - 1] - nanos[0]) / 1e3 / (tokens - 1));
          }
        }
      }
      if (tiny) {
        row.put("remark", "ran, with sizes that say nothing of speed");
      } else {
        row.set("samples_us", samples);
        row.put("bytes", bytes(config, decoder.weightBytes(), tokens));
        row.put("arithmetic", "bf16");
        row.put("calls_a_sample", tokens - 1);
      }
      items.row(row);
    }
  }

  /**
   * What a token has to read: every weight once, of an embedding that isn't the head too one row
   * only; and the keys and values of the tokens before it, on average.
   */
  static long bytes(ModelConfig config, long weightBytes, int tokens) {
    long row = 2L * config.hidden();
    long weights =
        config.tiedEmbedding() ? weightBytes : weightBytes - row * (config.vocabulary() - 1);
    long keysAndValues = config.cacheBytesPerToken(DType.BF16) * (PROMPT + tokens / 2);
    return weights + keysAndValues;
  }
}
